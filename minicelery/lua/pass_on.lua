-- pass_on: RUNNING → SCHEDULED, due a moment later, when another live worker of its queue knows the task's name, or
-- → FAILED when none does. For a worker that does not know it, with the token of the delivery.
-- KEYS  workers, claimed of the worker, dead letters, the task hash
-- ARGV  prefix, worker, id, token, the error if nobody knows the name (JSON)
-- =>    the state now, which stays CANCELLED under this token, also when this very token was passed on before; '' for any other token
-- event scheduled | failed
local workers, claimed, dead_letter, hash = unpack(KEYS)
local worker, id, token, err = unpack(ARGV, 2, 5)
local FIRST_PAUSE, LONGEST_PAUSE = 0.25, 2
local at = now()

local function has(list, wanted)
  if type(list) ~= 'table' then return false end
  for _, one in ipairs(list) do if one == wanted then return true end end
  return false
end

local function is_known_elsewhere(name, queue)
  for _, other in ipairs(redis.call('ZRANGEBYSCORE', workers, '(' .. stamp(at), '+inf')) do
    local info = other ~= worker and redis.call('GET', key.worker(other))
    local read, facts = pcall(cjson.decode, info or '')
    if read and type(facts) == 'table' and has(facts.queues, queue) and has(facts.tasks, name) then return true end
  end
  return false
end

local before = fields(id, 'status', 'token', 'settled', 'released_by')
if before and before[1] == 'CANCELLED' and before[2] == token then
  redis.call('HDEL', claimed, id)
  close_run(id, at)
  ring()
  return 'CANCELLED'
end
if before and settled_by(before[1], before[2], before[3]) == token then return 'FAILED' end
if before and before[4] == token then return 'SCHEDULED' end
local task = whole(id, 'more')
if not task or task.status ~= 'RUNNING' or task.token ~= token then return '' end
local released = tonumber(task.released or 0)
local known = is_known_elsewhere(task.name, task.queue)
local obstacle = known and no_delayed() or not known and no_dead_letter()
if obstacle then return foreign(obstacle) end

redis.call('HDEL', claimed, id)
redis.call('HSET', hash, 'updated_at', stamp(at))
if task.more then
  close_run(id, at)
  ring()
end
if known then
  local due = at + math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ^ math.min(released, 10))
  redis.call('HSET', hash, 'status', 'SCHEDULED', 'due', stamp(due), 'released', released + 1, 'released_by', token)
  delay(id, due)
  emit(id, 'scheduled', ',"status":"SCHEDULED","due":' .. when(due) .. ',"at":' .. when(at) .. '}')
  return 'SCHEDULED'
end
redis.call('HSET', hash, 'status', 'FAILED', 'error', err, 'settled', token)
redis.call('LPUSH', dead_letter, id)
end_unique(id)
emit(id, 'failed', ',"status":"FAILED","retry_count":' .. task.retry_count .. ',"error":' .. err .. ',"at":'
  .. when(at) .. '}')
return 'FAILED'
