-- lock_release: takes a lock back from one who holds it or waits for it. No task changes its state.
-- KEYS  lock, facts and line of the lock, over (of the request that got it)
-- ARGV  prefix, nonce of that request
-- =>    1 if it was held until now, though its time may have been over; 0 if not: it was broken, or somebody else has got it
--       since; the same when this is asked again
local lock, facts, line, over = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local me, SECONDS_KEPT = ARGV[2], 60
local at = now()

local before = redis.call('GET', over)
if before then return tonumber(before) end
local was_held = redis.call('ZSCORE', lock, me) and 1 or 0
redis.call('HGET', facts, me)
redis.call('ZSCORE', line, me)

redis.call('ZREM', lock, me)
redis.call('ZREM', line, me)
redis.call('HDEL', facts, me)
redis.call('SET', over, was_held, 'EX', SECONDS_KEPT)
ring_waiter(line, facts, at, 0)
return was_held
