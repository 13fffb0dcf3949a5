-- release: RUNNING → PENDING at the head of its queue, given back by a worker that stops. A batch.
-- KEYS  claimed of the worker
-- ARGV  prefix, then for each task: id, token
-- =>    for each task 'ok', also when this very token was released before; 'settled' when it has recorded an outcome;
--       'cancelled' when it was cancelled under this token, and so is over now; 'lost' for any other token
-- event queued
local claimed = KEYS[1]
local at = now()
local answers, current, cancelled, seen = {}, {}, {}, {}

for base = 2, #ARGV, 2 do
  local id, token = ARGV[base], ARGV[base + 1]
  local task = fields(id, 'status', 'token', 'settled', 'released_by')
  local answer = 'lost'
  if task and (task[4] == token or seen[id] == token) then
    answer = 'ok'
  elseif task and settled_by(task[1], task[2], task[3]) == token then
    answer = 'settled'
  elseif task and task[1] == 'RUNNING' and task[2] == token then
    local held = whole(id, 'lane', 'more')
    local obstacle = held and no_line(held.queue, held.lane)
    if obstacle then return foreign(obstacle) end
    if held then
      answer = 'ok'
      seen[id] = token
      current[#current + 1] = {id, token, held.queue, held.lane, held.more}
    end
  elseif task and task[1] == 'CANCELLED' and task[2] == token then
    answer = 'cancelled'
    cancelled[#cancelled + 1] = id
  end
  answers[#answers + 1] = answer
end

call_with_all('HDEL', claimed, cancelled)
for _, id in ipairs(cancelled) do close_run(id, at) end
for _, one in ipairs(current) do
  local id, token, queue, lane, more = unpack(one, 1, 5)
  redis.call('HDEL', claimed, id)
  redis.call('HSET', key.task(id), 'released_by', token)
  redis.call('HINCRBY', key.task(id), 'released', 1)
  if more then close_run(id, at) end
  make_ready(id, queue, lane, 'RPUSH', at)
end
ring()
return answers
