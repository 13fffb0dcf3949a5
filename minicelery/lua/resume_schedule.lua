-- resume_schedule: lets a schedule fire again; what was due meanwhile was not missed. No task changes its state.
-- KEYS  schedules, the schedule's hash
-- ARGV  prefix, name, version, the next due time of that ('' = none)
-- =>    'done', also when it was not paused; there is 'none', or it has 'changed' meanwhile
local schedules, hash = KEYS[1], KEYS[2]
local name, wanted, next_due = unpack(ARGV, 2, 4)
local at = now()
if not is_ours(schedules, 'zset') then return foreign(schedules) end
if not is_ours(hash, 'hash') then return foreign(hash) end
local version, paused, undeclared = unpack(redis.call('HMGET', hash, 'version', 'paused', 'undeclared'))
if not version then return 'none' end
if not paused then return 'done' end
if version ~= wanted then return 'changed' end

redis.call('HSET', hash, 'updated_at', stamp(at))
redis.call('HDEL', hash, 'paused', 'kept')
if next_due ~= '' and not undeclared then note_time(schedules, name, tonumber(next_due)) end
return 'done'
