-- wake: rings the doorbell of one worker, once for each of its threads, and has it claim nothing from now on, if it has
-- claimed anything before. No task changes its state.
-- KEYS  wake and claims of the worker
-- ARGV  prefix, how often
-- =>    1
local SECONDS_KEPT = 60
for _ = 1, tonumber(ARGV[2]) do redis.call('LPUSH', KEYS[1], 1) end
redis.call('EXPIRE', KEYS[1], SECONDS_KEPT)
-- A claim is sent behind each wait, so it would be made in the moment that the wait ends.
if redis.call('TYPE', KEYS[2]).ok == 'hash' then redis.call('HSET', KEYS[2], 'stopped', 1) end
return 1
