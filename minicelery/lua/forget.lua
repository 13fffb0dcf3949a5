-- forget: SUCCESS | FAILED | CANCELLED | EXPIRED → (none). The task and its result or error are deleted.
-- KEYS  the task hash, dead letters, forgotten (of this request)
-- ARGV  prefix, id, then the states it may be in
-- =>    the state it was in, also when this very request has deleted it before; '' when there is no such task.
--       Nothing is deleted in any other state; nor what was cancelled and whose run is not over, which is RUNNING here.
-- event deleted
local hash, dead_letter, forgotten = KEYS[1], KEYS[2], KEYS[3]
local id, SECONDS_KEPT = ARGV[2], 60
local before = redis.call('GET', forgotten)
if before then return before end
local task = fields(id, 'status', 'expires', 'tags', 'keep')
if not task then return '' end

-- One that was cancelled is still in the hands of its worker while it has a time to be kept for.
if task[4] then return 'RUNNING' end

for i = 3, #ARGV do
  if task[1] == ARGV[i] then
    if task[1] == 'FAILED' and no_dead_letter() then return foreign(dead_letter) end
    if task[1] == 'FAILED' then redis.call('LREM', dead_letter, -1, id) end
    leave_indexes(id, task[2], task[3])
    redis.call('DEL', hash)
    redis.call('SET', forgotten, task[1], 'EX', SECONDS_KEPT)
    emit(id, 'deleted', '}')
  end
end
return task[1]
