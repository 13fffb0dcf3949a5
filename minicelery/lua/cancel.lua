-- cancel: PENDING | SCHEDULED | RETRYING | WAITING | RUNNING → CANCELLED. A batch.
-- KEYS  delayed, workers
-- ARGV  prefix, seconds that it is kept, '1' if what runs is to be interrupted, ids
-- =>    for each id the state now: CANCELLED, also when it was that before; another one where it is over already; '' for none
--       What waits never begins. What runs is told, and stays in the hands of its worker until its run is over; whatever
--       that ends with is not recorded.
-- event cancelled
local workers = KEYS[2]
local keep, order = string.format('%.0f', tonumber(ARGV[2]) * 1000), ARGV[3] == '1' and 'interrupt' or 'cancel'
local at = now()
local answers, waiting, running, again, seen = {}, {}, {}, {}, {}

for i = 4, #ARGV do
  local id = ARGV[i]
  local task = not seen[id] and whole(id, 'lane', 'more', 'worker', 'keep')
  local status = seen[id] or task and task.status or ''
  if task then add_more(id, task, 'expires', 'tags', 'room', 'pass', 'place', 'fair') end
  if task and is_unbegun(status) then
    waiting[#waiting + 1] = {id, task}
    status = 'CANCELLED'
  elseif task and status == 'RUNNING' then
    running[#running + 1] = {id, task}
    status = 'CANCELLED'
  elseif task and status == 'CANCELLED' and task.keep then
    again[#again + 1] = {id, task}
  end
  seen[id] = status
  answers[#answers + 1] = status
end

local function tell(id, task)
  if task.worker then redis.call('PUBLISH', key.orders(task.worker), order .. ' ' .. id .. ' ' .. task.token) end
end

pass_full_memory(workers)
for _, one in ipairs(waiting) do
  local id, task = one[1], one[2]
  leave_wait(id, task)
  end_unrun(id, task, 'CANCELLED', keep, at)
end
for _, one in ipairs(running) do
  local id, task = one[1], one[2]
  redis.call('HSET', key.task(id), 'status', 'CANCELLED', 'updated_at', stamp(at), 'keep', keep, 'order', order,
    'more', 1)
  leave_indexes(id, task.expires, task.tags)
  tell(id, task)
  emit(id, 'cancelled', ',"status":"CANCELLED","retry_count":' .. task.retry_count .. ',"at":' .. when(at) .. '}')
end
-- Once more for what still runs: perhaps it is to be interrupted now.
for _, one in ipairs(again) do
  if order == 'interrupt' then redis.call('HSET', key.task(one[1]), 'order', order) end
  tell(one[1], one[2])
end
let_others_pass(waiting, at)
ring()
return answers
