-- move: PENDING | WAITING → PENDING in another queue, in the same order and with the same priorities, for what is ready in one
--       list, and for tasks that wait there for their tenant's turn; or → WAITING behind others of its tenant. A batch.
-- KEYS  the ready list, gates
-- ARGV  prefix, the queue that they go to, the most to move in one call
-- =>    {how many are moved, how many ids are left in the list}
-- event queued | waiting
local ready, queue, most = KEYS[1], ARGV[2], tonumber(ARGV[3])
local at = now()
local ids, round = redis.call('LRANGE', ready, -most, -1), round_of(at)
local waiting = next_of_list(ready, ids, round, most)
for _, one in ipairs(waiting) do
  local obstacle = no_line(queue, one[2].lane)
  if obstacle then return foreign(obstacle) end
end

pass_full_memory(KEYS[2])
redis.call('LTRIM', ready, 0, -(#ids + 1))
round.close()
for _, one in ipairs(waiting) do
  redis.call('HSET', key.task(one[1]), 'queue', queue, 'since', stamp(at))
  come(one[1], queue, one[2].lane, not one[2].pass and one[2].fair, at)
end
let_others_pass(waiting, at, true)
ring()
return {#waiting, redis.call('LLEN', ready)}
