-- declare: tells which schedules the code of a worker has, and writes those that are wanted. No task changes its state.
-- KEYS  schedules
-- ARGV  prefix, then for each schedule: name, version, its next due time ('' = none), its fields as a JSON object of texts
--       ('' = only ask)
-- =>    for each: 'same' where it is there, 'written', 'wanted' where its fields are; else it stays as it is: there is one
--       made at run time ('runtime'), one that has replaced this and whose workers live ('newer'), or the key of another
--       program ('foreign')
--       A version that was never there replaces another at once. One that was replaced comes back only when no live
--       worker has the one that is there: so two releases side by side come to rest with the newer one.
local KEPT, MOST_REPLACED = 3600, 8
local schedules = KEYS[1]
local at = now()
if not is_ours(schedules, 'zset') then return foreign(schedules) end
local answers, wanted = {}, {}

local function look(name, version, definition)
  local where = key.schedule(name)
  if not is_ours(where, 'hash') then return 'foreign' end
  local there, origin, undeclared, replaced = unpack(redis.call('HMGET', where, 'version', 'origin', 'undeclared', 'replaced'))
  if origin == 'runtime' then return 'runtime' end
  if there == version and not undeclared then return 'same' end
  local was_replaced = string.find(' ' .. (replaced or '') .. ' ', ' ' .. version .. ' ', 1, true)
  if there and there ~= version and was_replaced and is_declared(name, there, at) then return 'newer' end
  if definition == '' then return 'wanted' end
  return 'written', there, replaced or '', tonumber(undeclared or nil)
end

for i = 2, #ARGV, 4 do
  local name, version, next_due, definition = unpack(ARGV, i, i + 3)
  local answer, there, replaced, undeclared = look(name, version, definition)
  answers[#answers + 1] = answer
  if answer == 'written' then wanted[#wanted + 1] = {name, version, next_due, definition, there, replaced, undeclared} end
end

for _, one in ipairs(wanted) do
  local name, version, next_due, definition, there, replaced, undeclared = unpack(one, 1, 7)
  local where = key.schedule(name)
  redis.call('HSET', where, 'updated_at', stamp(at), 'version', version)
  for field, value in pairs(cjson.decode(definition)) do redis.call('HSET', where, field, value) end
  if not there then redis.call('HSET', where, 'created_at', stamp(at)) end
  if there and there ~= version then
    local before = {there}
    for other in string.gmatch(replaced, '%S+') do
      if other ~= version and other ~= there and #before < MOST_REPLACED then before[#before + 1] = other end
    end
    redis.call('HSET', where, 'replaced', table.concat(before, ' '))
  end
  local kept = redis.call('HGET', where, 'kept')
  redis.call('HDEL', where, 'undeclared', 'kept')
  -- What has come back soon was only away while nobody could know it: what it stood at is missed, not past.
  if kept and there == version and undeclared and at - undeclared < KEPT then next_due = kept end
  if redis.call('HEXISTS', where, 'paused') == 1 or next_due == '' then redis.call('ZADD', schedules, '+inf', name)
  else note_time(schedules, name, tonumber(next_due))
  end
end
return answers
