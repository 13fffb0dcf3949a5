-- move: PENDING → PENDING in another queue, in the same order and with the same priorities. A batch of one list.
-- KEYS  the ready list, gates
-- ARGV  prefix, the queue that they go to, the most to move in one call
-- =>    {how many are moved, how many ids are left in the list}
-- event queued
local ready, queue = KEYS[1], ARGV[2]
local at = now()
local ids, waiting = redis.call('LRANGE', ready, -tonumber(ARGV[3]), -1), {}
for i = #ids, 1, -1 do
  local task = whole(ids[i], 'lane')
  if task and task.status == 'PENDING' then
    local obstacle = no_line(queue, task.lane)
    if obstacle then return foreign(obstacle) end
    waiting[#waiting + 1] = {ids[i], task.lane}
  end
end

pass_full_memory(KEYS[2])
redis.call('LTRIM', ready, 0, -(#ids + 1))
for _, one in ipairs(waiting) do
  redis.call('HSET', key.task(one[1]), 'queue', queue)
  make_ready(one[1], queue, one[2], 'LPUSH', at)
end
ring()
return {#waiting, redis.call('LLEN', ready)}
