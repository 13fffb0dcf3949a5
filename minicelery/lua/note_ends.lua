-- note_ends: notes with schedules how their last runs have ended, while that is known. No task changes its state.
-- KEYS  schedules whose last run is open
-- ARGV  prefix, the most to look at
-- =>    how many were looked at, those that were not for the longest time first
local open = KEYS[1]
local at = now()
local names = redis.call('ZRANGE', open, 0, tonumber(ARGV[2]) - 1)
local known, over = {}, {}
for _, name in ipairs(names) do
  local task = redis.pcall('HGET', key.schedule(name), 'last_id')
  local status = type(task) == 'string' and redis.pcall('HGET', key.task(task), 'status')
  local home = type(status) == 'string' and HOMES[status]
  if home == '' or home == 'dead' then known[name] = status end
  if not home or home == '' then over[#over + 1] = name end
end

if #names > 0 then pass_full_memory(open) end
for name, status in pairs(known) do redis.call('HSET', key.schedule(name), 'last_status', status) end
for _, name in ipairs(names) do redis.call('ZADD', open, stamp(at), name) end
call_with_all('ZREM', open, over)
return #names
