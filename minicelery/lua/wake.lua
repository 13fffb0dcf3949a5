-- wake: rings the doorbell of one worker, once for each of its threads. No task changes its state.
-- KEYS  wake of the worker
-- ARGV  prefix, how often
-- =>    1
local SECONDS_KEPT = 60
for _ = 1, tonumber(ARGV[2]) do redis.call('LPUSH', KEYS[1], 1) end
redis.call('EXPIRE', KEYS[1], SECONDS_KEPT)
return 1
