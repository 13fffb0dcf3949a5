-- purge: PENDING → CANCELLED, for what is ready in one list. A batch.
-- KEYS  the ready list, gates
-- ARGV  prefix, seconds that it is kept, the most to take in one call
-- =>    {how many are cancelled, how many ids are left in the list}
-- event cancelled
local ready = KEYS[1]
local keep = string.format('%.0f', tonumber(ARGV[2]) * 1000)
local at = now()
local ids, waiting = redis.call('LRANGE', ready, -tonumber(ARGV[3]), -1), {}
for _, id in ipairs(ids) do
  local task = whole(id, 'lane', 'more')
  if task and task.status == 'PENDING' then
    add_more(id, task, 'expires', 'tags', 'pass')
    waiting[#waiting + 1] = {id, task}
  end
end

pass_full_memory(KEYS[2])
redis.call('LTRIM', ready, 0, -(#ids + 1))
for _, one in ipairs(waiting) do
  local id, task = one[1], one[2]
  end_unrun(id, task, 'CANCELLED', keep, at)
end
let_others_pass(waiting, at)
ring()
return {#waiting, redis.call('LLEN', ready)}
