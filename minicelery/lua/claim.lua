-- claim: PENDING → RUNNING, up to `count` tasks for one thread of a live worker.
-- KEYS  workers, claims and claimed of the worker, then the ready list and the bell of each queue, in serving order
-- ARGV  prefix, worker, thread, number of this claim, nonce, count, '1' if a bell has just woken the thread
-- =>    {'ok', dropped ids, task, …}, a task being {id, token, deliveries, name, args, kwargs, queue, retry_count,
--       max_retries, seconds it waited}; {'unregistered'}: no lease, beat first; {'stale'}: a later claim was answered already.
--       The same number again gives the same tasks again: an answer that was lost on the way is repeated.
-- event started
local worker, thread, number, nonce, count, woken = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), ARGV[7]
local workers, claims, claimed = KEYS[1], KEYS[2], KEYS[3]
local MOST_DROPPED = 100
local at = now()

local function delivery(id, token, deliveries, task)
  return {id, token, deliveries, task.name, task.args, task.kwargs, task.queue, task.retry_count, task.max_retries,
    stamp(math.max(0, at - tonumber(task.updated_at)))}
end

local lease_end = redis.call('ZSCORE', workers, worker)
local last = tonumber(redis.call('HGET', claims, thread) or 0)
if number < last then return {'stale'} end
if not lease_end or tonumber(lease_end) <= at then
  -- Remembered all the same: a copy of this claim that comes late, when there is a lease, must take nothing.
  pass_full_memory(workers)
  redis.call('HSET', claims, thread, number)
  if not lease_end then redis.call('EXPIRE', claims, CLAIMS_KEPT) end
  return {'unregistered'}
end
if number == last then
  local again = {'ok', {}}
  local held = redis.call('HGETALL', claimed)
  for i = 1, #held, 2 do
    local task = string.sub(held[i + 1], -#nonce) == nonce and whole(held[i])
    if task and task.status == 'RUNNING' and task.token == held[i + 1] then
      again[#again + 1] = delivery(held[i], held[i + 1], tonumber(task.deliveries), task)
    end
  end
  return again
end

-- Peek: the rightmost id is the next one. Ids without a PENDING task are foreign; they are dropped and told.
local taken, dropped, popped, seen = {}, {}, {}, {}
for i = 4, #KEYS, 2 do
  local ready, offset = KEYS[i], 0
  while #taken < count and #dropped < MOST_DROPPED do
    local want = count - #taken
    local ids = redis.call('LRANGE', ready, -(offset + want), -(offset + 1))
    for j = #ids, 1, -1 do
      local task = not seen[ids[j]] and whole(ids[j])
      seen[ids[j]] = true
      if task and task.status == 'PENDING' then taken[#taken + 1] = {ids[j], task} else dropped[#dropped + 1] = ids[j] end
    end
    offset = offset + #ids
    if #ids < want then break end
  end
  popped[i] = offset
end

if not is_ours(claimed, 'hash') then return foreign(claimed) end
pass_full_memory(workers)
redis.call('HSET', claims, thread, number)
for i = 4, #KEYS, 2 do
  if popped[i] > 0 then redis.call('LTRIM', KEYS[i], 0, -(popped[i] + 1)) end
  local left = redis.call('LLEN', KEYS[i])
  if left == 0 then
    redis.call('DEL', KEYS[i + 1])
  elseif woken == '1' and is_ours(KEYS[i + 1], 'list') and redis.call('LLEN', KEYS[i + 1]) == 0 then
    redis.call('LPUSH', KEYS[i + 1], 1)
  end
end

local answer = {'ok', dropped}
for _, one in ipairs(taken) do
  local id, task = one[1], one[2]
  local deliveries = tonumber(task.deliveries or 0) + 1
  local token = string.format('%d.%s', deliveries, nonce)
  redis.call('HSET', key.task(id), 'status', 'RUNNING', 'token', token, 'deliveries', deliveries,
    'worker', worker, 'started_at', stamp(at), 'updated_at', stamp(at))
  redis.call('HDEL', key.task(id), 'progress', 'due')
  redis.call('HSET', claimed, id, token)
  emit(id, 'started', '{"task_id":"' .. id .. '","status":"RUNNING","worker":"' .. worker .. '","retry_count":'
    .. task.retry_count .. ',"at":' .. when(at) .. '}')
  answer[#answer + 1] = delivery(id, token, deliveries, task)
end
return answer
