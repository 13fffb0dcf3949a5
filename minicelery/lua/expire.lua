-- expire: PENDING | SCHEDULED | RETRYING | WAITING → EXPIRED, for what has not begun in time.
-- KEYS  expiring, delayed
-- ARGV  prefix, seconds that it is kept, the most to look at in one call
-- =>    {how many have expired, seconds until the next does or '' if there is none}
-- event expired
local expiring = KEYS[1]
local keep = string.format('%.0f', tonumber(ARGV[2]) * 1000)
local at = now()
local late, over = redis.call('ZRANGEBYSCORE', expiring, '-inf', stamp(at), 'LIMIT', 0, tonumber(ARGV[3])), {}
for _, id in ipairs(late) do
  local task = whole(id, 'lane', 'more')
  local status = task and task.status
  if task and is_unbegun(status) then
    add_more(id, task, 'expires', 'tags', 'room', 'pass')
    over[#over + 1] = {id, task}
  end
end

if #late > 0 then pass_full_memory(expiring) end
call_with_all('ZREM', expiring, late)
for _, one in ipairs(over) do
  local id, task = one[1], one[2]
  leave_wait(id, task, at)
  end_unrun(id, task, 'EXPIRED', keep, at)
end
ring()

local next_one = redis.call('ZRANGE', expiring, 0, 0, 'WITHSCORES')
return {#over, next_one[2] and stamp(math.max(0, tonumber(next_one[2]) - at)) or ''}
