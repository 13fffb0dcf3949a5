-- purge: PENDING | WAITING → CANCELLED, for what is ready in one list, and for tasks that wait there for their tenant's turn. A
--       batch. Behind those who were put forward by a limit others follow only when its gate is looked at next.
-- KEYS  the ready list, gates
-- ARGV  prefix, seconds that it is kept, the most to take in one call
-- =>    {how many are cancelled, how many ids are left in the list}
-- event cancelled
local ready, most = KEYS[1], tonumber(ARGV[3])
local keep = string.format('%.0f', tonumber(ARGV[2]) * 1000)
local at = now()
local ids, round = redis.call('LRANGE', ready, -most, -1), round_of(at)
local waiting = next_of_list(ready, ids, round, most)

pass_full_memory(KEYS[2])
redis.call('LTRIM', ready, 0, -(#ids + 1))
round.close()
for _, one in ipairs(waiting) do
  local id, task = one[1], one[2]
  end_unrun(id, task, 'CANCELLED', keep, at)
end
let_others_pass(waiting, at, true)
ring()
return {#waiting, redis.call('LLEN', ready)}
