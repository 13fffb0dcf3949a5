-- beat: registers workers and renews their leases. No task changes its state.
-- KEYS  workers, then the info key of each worker
-- ARGV  prefix, lease in seconds, then for each worker: id, info (JSON)
-- =>    for each worker 1 when its lease was renewed, 0 when it was not registered (it is now)
local workers = KEYS[1]
local lease_end = stamp(now() + tonumber(ARGV[2]))
local known = {}
for i = 2, #KEYS do known[#known + 1] = redis.call('ZSCORE', workers, ARGV[2 * i - 1]) and 1 or 0 end

pass_full_memory(workers)
for i = 2, #KEYS do
  redis.call('ZADD', workers, lease_end, ARGV[2 * i - 1])
  redis.call('SET', KEYS[i], ARGV[2 * i])
  redis.call('PERSIST', key.claims(ARGV[2 * i - 1]))
end
return known
