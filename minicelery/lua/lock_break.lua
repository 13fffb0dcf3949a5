-- lock_break: takes a lock from all who hold it. No task changes its state.
-- KEYS  lock, facts and line of the lock, over (of this request)
-- ARGV  prefix
-- =>    how many held it, the same when this is asked again
local lock, facts, line, over = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local SECONDS_KEPT = 60
local at = now()

local before = redis.call('GET', over)
if before then return tonumber(before) end
local holders = redis.call('ZRANGE', lock, 0, -1)
local count = redis.call('ZCOUNT', lock, '(' .. stamp(at), '+inf')
redis.call('HGET', facts, 'fence')
redis.call('ZCARD', line)

redis.call('DEL', lock)
call_with_all('HDEL', facts, holders)
redis.call('SET', over, count, 'EX', SECONDS_KEPT)
ring_waiter(line, facts, at, 0)
return count
