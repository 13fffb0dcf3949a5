-- promote: SCHEDULED | RETRYING → PENDING, for what is due, or early for all of them; or → WAITING behind others of its tenant.
-- KEYS  delayed
-- ARGV  prefix, the most to promote in one call, '1' for early
-- =>    {how many were promoted, seconds until the next is due or '' if there is none}
--       A task whose queue another program has overwritten stays, and is looked at again a moment later: it is in
--       nobody's way meanwhile.
-- event queued | waiting
local PAUSE = 5
local at = now()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3] == '1' and '+inf' or stamp(at), 'WITHSCORES',
  'LIMIT', 0, tonumber(ARGV[2]))
local gone, ready, stuck = {}, {}, {}
for i = 1, #due, 2 do
  local id, score = due[i], due[i + 1]
  local task = whole(id, 'lane', 'fair')
  local is_delayed = task and (task.status == 'SCHEDULED' or task.status == 'RETRYING')
  if is_delayed and no_line(task.queue, task.lane) then
    if tonumber(score) < at + PAUSE then stuck[#stuck + 1] = id end
  else
    gone[#gone + 1] = id
    if is_delayed then
      -- One that a worker has passed on, as it does not know its name, was ready before.
      local is_new = task.status == 'RETRYING' or task.token == '0.'
      ready[#ready + 1] = {id, task.queue, task.lane, task.fair, is_new}
    end
  end
end

if #due > 0 then pass_full_memory(KEYS[1]) end
call_with_all('ZREM', KEYS[1], gone)
for _, id in ipairs(stuck) do redis.call('ZADD', KEYS[1], stamp(at + PAUSE), id) end
for _, task in ipairs(ready) do
  redis.call('HDEL', key.task(task[1]), 'due')
  if task[5] then redis.call('HSET', key.task(task[1]), 'since', stamp(at)) end
  come(task[1], task[2], task[3], task[4], at)
end
ring()

local next_one = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {#ready, next_one[2] and stamp(math.max(0, tonumber(next_one[2]) - at)) or ''}
