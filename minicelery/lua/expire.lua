-- expire: PENDING | SCHEDULED | RETRYING | WAITING → EXPIRED, for what has not begun in time.
-- KEYS  expiring, delayed
-- ARGV  prefix, seconds that it is kept, the most to look at in one call
-- =>    {how many have expired, seconds until the next one is to be looked at or '' if there is none}
--       What runs is looked at again a minute later: it may be given back, or have to be retried.
-- event expired
local expiring = KEYS[1]
local keep = string.format('%.0f', tonumber(ARGV[2]) * 1000)
local PAUSE = 60
local at = now()
local late = redis.call('ZRANGEBYSCORE', expiring, '-inf', stamp(at), 'LIMIT', 0, tonumber(ARGV[3]))
local over, gone, later = {}, {}, {}
for _, id in ipairs(late) do
  local task = whole(id, 'lane', 'more')
  if task then add_more(id, task, 'expires', 'tags', 'room', 'pass', 'place', 'fair') end
  local status, expires = task and task.status, task and tonumber(task.expires or nil)
  local is_waiting = is_unbegun(status)
  if expires and (status == 'RUNNING' or is_waiting and expires > at) then
    later[#later + 1] = {id, math.max(expires, at + PAUSE)}
  else
    gone[#gone + 1] = id
    if expires and is_waiting then over[#over + 1] = {id, task} end
  end
end

if #late > 0 then pass_full_memory(expiring) end
call_with_all('ZREM', expiring, gone)
for _, one in ipairs(later) do redis.call('ZADD', expiring, stamp(one[2]), one[1]) end
for _, one in ipairs(over) do
  local id, task = one[1], one[2]
  leave_wait(id, task)
  end_unrun(id, task, 'EXPIRED', keep, at)
end
let_others_pass(over, at)
ring()

local next_one = redis.call('ZRANGE', expiring, 0, 0, 'WITHSCORES')
return {#over, next_one[2] and stamp(math.max(0, tonumber(next_one[2]) - at)) or ''}
