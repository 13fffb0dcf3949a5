-- lock_renew: has locks end later. No task changes its state.
-- KEYS  for each: lock, facts of the lock
-- ARGV  prefix, then for each: nonce of the request that got it, seconds until it ends unless it is renewed again
-- =>    for each 1, also where its time was over and nobody else has got it; 0 where it is not held any more
local at = now()
local found = {}
for i = 1, #KEYS, 2 do
  local is_whole = is_ours(KEYS[i], 'zset') and is_ours(KEYS[i + 1], 'hash')
  found[#found + 1] = is_whole and redis.call('ZSCORE', KEYS[i], ARGV[i + 1]) and 1 or 0
end

for i = 1, #KEYS, 2 do
  if found[(i + 1) / 2] == 1 then
    pass_full_memory(KEYS[i])
    local ttl = tonumber(ARGV[i + 2])
    redis.call('ZADD', KEYS[i], stamp(at + ttl), ARGV[i + 1])
    keep_lock(KEYS[i], ttl)
    keep_lock(KEYS[i + 1], ttl)
  end
end
return found
