-- recover: RUNNING → PENDING at the head of its queue, for what a worker that is gone had claimed; into quarantine what
-- has crashed its process too often, and → FAILED what has done so alone in a process. The worker's own keys go with its
-- last task, and the numbers of its claims an hour later.
-- KEYS  workers, dead letters, then worker, claimed, claims and wake of the worker
-- ARGV  prefix, worker, 'ended' (its end is certain) or 'expired' (only if its lease is over), crashes that lead to
--       quarantine, crashes alone and crashes in all that make a dead letter of a task there, what ended the process (to
--       stand in JSON), then the ids of tasks that had begun ('*' = nobody knows which): these count a crash; one alone
--       only by its id, as the loss of a whole worker or machine may have any cause
-- =>    {made ready, of these in quarantine, dead letters, stuck}; all 0 when there was nothing to do. Stuck is what can't
--       go where it belongs, as another program has overwritten that key: it stays with the worker, whose lease is over.
-- event queued | failed
local workers, dead_letter, info, claimed, claims, wake = unpack(KEYS)
local worker, why = ARGV[2], ARGV[3]
local most_crashes, most_alone, most_in_all, cause = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]), ARGV[7]
local at = now()
local lease = tonumber(redis.call('ZSCORE', workers, worker) or nil)
if why == 'expired' and (not lease or lease > at) then return {0, 0, 0, 0} end

local begun = {}
for i = 8, #ARGV do begun[ARGV[i]] = true end

-- Where a task goes from here: its crashes and those alone, its lane from now on, and whether it is over.
local function fate(id, task)
  local crashes, alone, lane = tonumber(task.crashes or 0), tonumber(task.solo_crashes or 0), task.lane
  local one = {id = id, queue = task.queue, retry_count = task.retry_count, lane = lane, more = task.more}
  if not begun[id] and not begun['*'] then return one end
  one.crashes = crashes + 1
  if lane == 'quarantine' then
    one.alone = alone + (begun[id] and 1 or 0)
    one.is_over = one.alone >= most_alone or one.crashes >= most_in_all
  elseif one.crashes >= most_crashes then
    one.lane = 'quarantine'
  end
  return one
end

local held = redis.call('HGETALL', claimed)
local gone, current, cancelled, stuck = {}, {}, {}, 0
for i = 1, #held, 2 do
  local id, token = held[i], held[i + 1]
  local task = whole(id, 'lane', 'more')
  local one = task and task.status == 'RUNNING' and task.token == token and fate(id, task)
  if one and (one.is_over and no_dead_letter() or not one.is_over and no_line(one.queue, one.lane)) then
    stuck = stuck + 1
  else
    gone[#gone + 1] = id
    if one then current[#current + 1] = one end
    if task and task.status == 'CANCELLED' and task.token == token then cancelled[#cancelled + 1] = id end
  end
end

local function bury(one)
  local err = '{"type":"WorkerCrashed","message":"its process crashed ' .. one.crashes .. ' times, ' .. one.alone
    .. ' of them with no other task beside it; the last time it ' .. cause .. '","traceback":""}'
  redis.call('HSET', key.task(one.id), 'status', 'FAILED', 'error', err, 'updated_at', stamp(at))
  redis.call('LPUSH', dead_letter, one.id)
  end_unique(one.id)
  emit(one.id, 'failed', ',"status":"FAILED","retry_count":' .. one.retry_count .. ',"error":'
    .. err .. ',"at":' .. when(at) .. '}')
end

pass_full_memory(workers)
call_with_all('HDEL', claimed, gone)
for _, id in ipairs(cancelled) do close_run(id, at) end
local quarantined, buried = 0, 0
for _, one in ipairs(current) do
  local hash = key.task(one.id)
  if one.more then close_run(one.id, at) end
  if one.crashes then redis.call('HSET', hash, 'crashes', one.crashes, 'last_crash', cause) end
  if one.alone then redis.call('HSET', hash, 'solo_crashes', one.alone) end
  if one.is_over then
    bury(one)
    buried = buried + 1
  else
    if one.lane then redis.call('HSET', hash, 'lane', one.lane) end
    make_ready(one.id, one.queue, one.lane, 'RPUSH', at)
    if one.lane == 'quarantine' then quarantined = quarantined + 1 end
  end
end
ring()
if stuck > 0 then
  -- It can claim nothing more, and whoever looks for lost workers finds it.
  redis.call('ZADD', workers, stamp(math.min(lease or at, at)), worker)
else
  redis.call('ZREM', workers, worker)
  redis.call('DEL', info, claimed, wake)
  redis.call('EXPIRE', claims, CLAIMS_KEPT)
end
return {#current - buried, quarantined, buried, stuck}
