-- pause_schedule: lets a schedule fire no more until it is resumed. No task changes its state.
-- KEYS  schedules, the schedule's hash
-- ARGV  prefix, name
-- =>    'done', also when it was paused; there is 'none'
local schedules, hash = KEYS[1], KEYS[2]
local at = now()
if not is_ours(schedules, 'zset') then return foreign(schedules) end
if not is_ours(hash, 'hash') then return foreign(hash) end
local version, paused = unpack(redis.call('HMGET', hash, 'version', 'paused'))
if not version then return 'none' end

pass_full_memory(schedules)
if not paused then redis.call('HSET', hash, 'paused', stamp(at), 'updated_at', stamp(at)) end
redis.call('ZADD', schedules, '+inf', ARGV[2])
return 'done'
