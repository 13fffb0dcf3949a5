-- repair: RUNNING | WAITING → PENDING at the head of its queue, where no live worker has a claim under the task's token, or
--       where it is in no room.
-- KEYS  as locate
-- ARGV  prefix, id, seconds that a result is kept, then a name for each of the further keys
-- =>    what was done, in words; nothing where all was right, or where the task's own place is a key of a wrong type.
--       A task in another state keeps it. Each is put where its state says, taken out of everywhere else, and is to
--       expire if it is a SUCCESS only. Of what is no whole task all entries are removed, and the hash is left.
-- event queued
local id, keep = ARGV[2], tonumber(ARGV[3])
local at = now()
local task = examine(id, KEYS[4])
local function is_in_room(id, task) return task.waiting and redis.call('ZSCORE', task.waiting, id) end
-- One that runs nowhere, or waits nowhere, is made ready, even if it stands in its list already.
local is_stray = task.state == 'RUNNING' and not task.claimed or task.state == 'WAITING' and not is_in_room(id, task)
local home = is_stray and 'ready' or task.home
local surplus, is_missing = {}, false
for _, place in ipairs(places_of(id, task, {unpack(ARGV, 4)})) do
  local is_home = place.name == home
  if is_home and place.is_of_others then return {} end
  if is_home and (is_stray or place.times == 0) then is_missing = true end
  if is_missing and home == 'ready' and no_line(task.queue, task.lane) then return {} end
  place.spare = place.times - ((is_home and not is_missing) and 1 or 0)
  if place.spare > 0 then surplus[#surplus + 1] = place end
end

pass_full_memory(KEYS[4])
local done = {}
-- What it may have taken for a run that is nowhere is free.
if is_stray or task.state == 'CANCELLED' and not task.claimed then close_run(id, at) end
for _, place in ipairs(surplus) do
  -- A list keeps the one that is next to be taken.
  if place.kind == 'list' then redis.call('LREM', place.key, place.spare, id) end
  if place.kind == 'zset' then redis.call('ZREM', place.key, id) end
  if place.kind == 'hash' then redis.call('HDEL', place.key, id) end
  done[#done + 1] = 'taken out of ' .. place.name .. (place.spare < place.times and ' but once' or '')
end
if is_missing and home == 'ready' then
  redis.call('HDEL', KEYS[1], 'room', 'place')
  make_ready(id, task.queue, task.lane, 'RPUSH', at)
  done[#done + 1] = 'made ready at the head of its queue'
elseif is_missing and home == 'delayed' then
  delay(id, task.due or at)
  done[#done + 1] = 'put into the delayed set'
elseif is_missing then
  redis.call('LPUSH', KEYS[3], id)
  done[#done + 1] = 'put into the dead letters'
end
if task.life == 'forever' then
  redis.call('PEXPIRE', KEYS[1], string.format('%.0f', keep * 1000))
  done[#done + 1] = 'to expire as results do'
elseif task.life then
  redis.call('PERSIST', KEYS[1])
  done[#done + 1] = 'to be kept'
end
ring()
return done
