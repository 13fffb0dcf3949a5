-- turn: WAITING → PENDING at the tail of its queue, for the next one of each tenant that has none in line. What is left of the
--       room of one that has no task at all is deleted.
-- KEYS  gates
-- ARGV  prefix, '1' if nothing is to be changed, then the rooms of tenants
-- =>    those of the rooms of which no task is in line
-- event queued
local at = now()
local lost = {}
for i = 3, #ARGV do
  local name = ARGV[i]
  local is_room = string.find(name, TURN) and is_ours(key.waiting(name), 'zset') and is_ours(key.room(name), 'hash')
  if is_room and redis.call('EXISTS', key.waiting(name), key.room(name)) > 0 and not is_front(redis.call('HGET', key.room(name), 'out'), name) then
    lost[#lost + 1] = name
  end
end
if ARGV[2] == '1' or #lost == 0 then return lost end

pass_full_memory(KEYS[1])
for _, name in ipairs(lost) do give_turn(nil, name, at) end
ring()
return lost
