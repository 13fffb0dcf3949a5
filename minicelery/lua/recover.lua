-- recover: RUNNING → PENDING at the head of its queue, for what a worker that is gone had claimed; into quarantine what
-- has crashed its process too often, and → FAILED what has done so alone in a process. The worker's own keys go with its
-- last task, and the numbers of its claims an hour later.
-- KEYS  workers, dead letters, then worker, claimed, claims and wake of the worker
-- ARGV  prefix, worker, 'ended' (its end is certain) or 'expired' (only if its lease is over), the most to recover in one
--       call, crashes that lead to quarantine, crashes alone and crashes in all that make a dead letter of a task there,
--       what ended the process (to stand in JSON), then the ids of tasks that had begun ('*' = nobody knows which): these
--       count a crash; one alone only by its id, as the loss of a whole worker or machine may have any cause
-- =>    {made ready, of these in quarantine, dead letters, how many are left}; all 0 when there was nothing to do
-- event queued | failed
local workers, dead_letter, info, claimed, claims, wake = unpack(KEYS)
local worker, why, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local most_crashes, most_alone, most_in_all, cause = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8]
local at = now()
local lease = tonumber(redis.call('ZSCORE', workers, worker) or nil)
if why == 'expired' and (not lease or lease > at) then return {0, 0, 0, 0} end

local begun = {}
for i = 9, #ARGV do begun[ARGV[i]] = true end
local held = redis.call('HGETALL', claimed)
local gone, current = {}, {}
for i = 1, math.min(#held, most * 2), 2 do
  local id, token = held[i], held[i + 1]
  local task = fields(id, 'status', 'token', 'queue', 'crashes', 'solo_crashes', 'lane', 'retry_count')
  gone[#gone + 1] = id
  if task and task[1] == 'RUNNING' and task[2] == token then
    current[#current + 1] = {id, task[3], tonumber(task[4] or 0), tonumber(task[5] or 0), task[6], task[7]}
  end
end

-- Counts a crash, and says where it leads: the task's lane from now on, its crashes alone, and whether it is over.
local function crash(id, crashes, alone, lane)
  redis.call('HSET', key.task(id), 'crashes', crashes, 'last_crash', cause)
  if lane == 'quarantine' then
    alone = alone + (begun[id] and 1 or 0)
    redis.call('HSET', key.task(id), 'solo_crashes', alone)
    return lane, alone, alone >= most_alone or crashes >= most_in_all
  end
  if crashes < most_crashes then return lane, alone, false end
  redis.call('HSET', key.task(id), 'lane', 'quarantine')
  return 'quarantine', alone, false
end

local function bury(id, crashes, alone, retry_count)
  local err = '{"type":"WorkerCrashed","message":"its process crashed ' .. crashes .. ' times, ' .. alone
    .. ' of them with no other task beside it; the last time it ' .. cause .. '","traceback":""}'
  redis.call('HSET', key.task(id), 'status', 'FAILED', 'error', err, 'updated_at', stamp(at))
  redis.call('LPUSH', dead_letter, id)
  emit(id, 'failed', '{"task_id":"' .. id .. '","status":"FAILED","retry_count":' .. retry_count .. ',"error":' .. err
    .. ',"at":' .. when(at) .. '}')
end

pass_full_memory(workers)
-- From here on the worker can claim nothing more, so that what is left only shrinks.
redis.call('ZADD', workers, 0, worker)
if #gone > 0 then redis.call('HDEL', claimed, unpack(gone)) end
local quarantined, buried = 0, 0
for _, one in ipairs(current) do
  local id, queue, crashes, alone, lane, retry_count = unpack(one, 1, 6)
  local is_over = false
  if begun[id] or begun['*'] then lane, alone, is_over = crash(id, crashes + 1, alone, lane) end
  if is_over then
    bury(id, crashes + 1, alone, retry_count)
    buried = buried + 1
  else
    make_ready(id, queue, lane, 'RPUSH', at)
    if lane == 'quarantine' then quarantined = quarantined + 1 end
  end
end
ring()
local left = #held / 2 - #gone
if left == 0 then
  redis.call('ZREM', workers, worker)
  redis.call('DEL', info, claimed, wake)
  redis.call('EXPIRE', claims, CLAIMS_KEPT)
end
return {#current - buried, quarantined, buried, left}
