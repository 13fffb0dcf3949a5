-- promote: SCHEDULED | RETRYING → PENDING, for what is due, or early for all of them.
-- KEYS  delayed
-- ARGV  prefix, the most to promote in one call, '1' for early
-- =>    {how many were promoted, seconds until the next is due or '' if there is none}
-- event queued
local at = now()
local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[3] == '1' and '+inf' or stamp(at), 'LIMIT', 0, tonumber(ARGV[2]))
local ready = {}
for _, id in ipairs(due) do
  local task = fields(id, 'status', 'queue', 'lane')
  if task and (task[1] == 'SCHEDULED' or task[1] == 'RETRYING') then ready[#ready + 1] = {id, task[2], task[3]} end
end

if #due > 0 then redis.call('ZREM', KEYS[1], unpack(due)) end
for _, task in ipairs(ready) do
  make_ready(task[1], task[2], task[3], 'LPUSH', at)
end
ring()

local next_one = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return {#ready, next_one[2] and stamp(math.max(0, tonumber(next_one[2]) - at)) or ''}
