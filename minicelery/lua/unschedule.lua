-- unschedule: deletes a schedule. No task changes its state; those that it has fired stay.
-- KEYS  schedules, the schedule's hash, those whose last run is open, forgotten (of this request)
-- ARGV  prefix, name
-- =>    'done', also when this very request has deleted it before; there is 'none', or it is from 'code' that a live worker has
local schedules, hash, open, forgotten = unpack(KEYS)
local name, SECONDS_KEPT = ARGV[2], 60
local at = now()
if redis.call('EXISTS', forgotten) == 1 then return 'done' end
if not is_ours(hash, 'hash') then return foreign(hash) end
if not is_ours(open, 'zset') then return foreign(open) end
local version, origin = unpack(redis.call('HMGET', hash, 'version', 'origin'))
if not version then return 'none' end
if origin == 'code' and is_declared(name, version, at) then return 'code' end

redis.call('ZREM', schedules, name)
redis.call('ZREM', open, name)
redis.call('DEL', hash)
redis.call('SET', forgotten, 'done', 'EX', SECONDS_KEPT)
return 'done'
