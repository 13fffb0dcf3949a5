-- settle: RUNNING → SUCCESS | FAILED | RETRYING, with the token of the delivery. A batch.
-- KEYS  dead letters, claimed of the worker
-- ARGV  prefix, seconds that a result is kept, then for each task: id, token, state, result or error (JSON),
--       delay in seconds (RETRYING only)
-- =>    for each task 'ok', also when this very token has settled it before, and no later one has since; 'cancelled' when
--       it was cancelled under this token: its run is over now, and how it ended is not recorded; 'lost' for any other token
-- event completed | failed | retrying
local dead_letter, claimed = KEYS[1], KEYS[2]
local keep = string.format('%.0f', tonumber(ARGV[2]) * 1000)
local WIDTH = 5
local at = now()
local answers, current, ids, seen, others = {}, {}, {}, {}, {}

for base = 3, #ARGV, WIDTH do
  local id, token = ARGV[base], ARGV[base + 1]
  local task = fields(id, 'status', 'token', 'settled', 'retry_count', 'more')
  local answer = 'lost'
  if task and (settled_by(task[1], task[2], task[3]) == token or seen[id] == token) then
    answer = 'ok'
  elseif task and task[1] == 'RUNNING' and task[2] == token then
    -- Before the first write: a wait that is no number would leave the task in no place.
    if ARGV[base + 2] == 'RETRYING' and not (tonumber(ARGV[base + 4]) and tonumber(ARGV[base + 4]) >= 0) then
      return redis.error_reply('ERR settle: the delay of ' .. id .. ' is not a number of seconds')
    end
    local obstacle = ARGV[base + 2] == 'FAILED' and no_dead_letter() or ARGV[base + 2] == 'RETRYING' and no_delayed()
    if obstacle then return foreign(obstacle) end
    answer = 'ok'
    seen[id] = token
    ids[#ids + 1] = id
    current[#current + 1] = {base, tonumber(task[4] or 0) or 0, task[3]}
    if task[5] then others[#others + 1] = {id, ARGV[base + 2]} end
  elseif task and task[1] == 'CANCELLED' and task[2] == token then
    answer = 'cancelled'
    ids[#ids + 1] = id
    others[#others + 1] = {id, 'CANCELLED'}
  end
  answers[#answers + 1] = answer
end

-- What each task was held by goes first: a full Redis does not refuse it.
call_with_all('HDEL', claimed, ids)
for _, one in ipairs(current) do
  local base, retry_count, had_failed = one[1], one[2], one[3]
  local id, token, state, body, wait = unpack(ARGV, base, base + 4)
  local task, head = key.task(id), ',"status":"' .. state .. '","retry_count":'
  local tail = ',"at":' .. when(at) .. '}'
  if state == 'SUCCESS' then
    redis.call('HSET', task, 'status', state, 'updated_at', stamp(at), 'result', body)
    if had_failed then redis.call('HDEL', task, 'error', 'settled', 'since') end
    redis.call('PEXPIRE', task, keep)
    emit(id, 'completed', head .. retry_count .. ',"result":' .. body .. tail)
  elseif state == 'FAILED' then
    redis.call('HSET', task, 'status', state, 'settled', token, 'updated_at', stamp(at), 'error', body)
    redis.call('LPUSH', dead_letter, id)
    emit(id, 'failed', head .. retry_count .. ',"error":' .. body .. tail)
  else
    local due = at + tonumber(wait)
    redis.call('HSET', task, 'status', state, 'settled', token, 'updated_at', stamp(at), 'error', body,
      'retry_count', retry_count + 1, 'due', stamp(due))
    delay(id, due)
    emit(id, 'retrying', head .. (retry_count + 1) .. ',"error":' .. body .. ',"due":' .. when(due) .. tail)
  end
end
if #others == 0 then return answers end

-- (Here the rest of the prelude goes.)
for _, one in ipairs(others) do
  local id, state = one[1], one[2]
  close_run(id, at)
  if state == 'SUCCESS' or state == 'FAILED' then end_unique(id) end
  if state == 'SUCCESS' then
    local kept = redis.call('HMGET', key.task(id), 'expires', 'tags')
    leave_indexes(id, kept[1], kept[2])
  end
end
ring()
return answers
