-- schedule: adds a schedule that is made at run time, or changes one. No task changes its state.
-- KEYS  schedules, the schedule's hash
-- ARGV  prefix, name, the version it has now ('' = there is none yet), its new version, the next due time ('' = as it is,
--       'none' = none), then fields and values of what is defined
-- =>    'done', also when this very version is there; else what is in the way: 'there' is one, there is 'none', it is from
--       the 'code', or it has 'changed' meanwhile
local schedules, hash = KEYS[1], KEYS[2]
local name, before, version, next_due = unpack(ARGV, 2, 5)
local at = now()
if not is_ours(schedules, 'zset') then return foreign(schedules) end
if not is_ours(hash, 'hash') then return foreign(hash) end
local there, origin, paused = unpack(redis.call('HMGET', hash, 'version', 'origin', 'paused'))
if there == version then return 'done' end
if there and before == '' then return 'there' end
if not there and before ~= '' then return 'none' end
if origin == 'code' then return 'code' end
if there and there ~= before then return 'changed' end

redis.call('HSET', hash, 'updated_at', stamp(at), 'version', version, unpack(ARGV, 6))
if not there then redis.call('HSET', hash, 'created_at', stamp(at)) end
if paused or next_due == 'none' then redis.call('ZADD', schedules, '+inf', name)
elseif next_due ~= '' then note_time(schedules, name, tonumber(next_due))
end
return 'done'
