-- forget: SUCCESS | FAILED → (none). The task and its result or error are deleted.
-- KEYS  the task hash, dead letters
-- ARGV  prefix, id, then the states it may be in
-- =>    the state it was in; '' when there is no such task. Nothing is deleted in any other state.
-- event deleted
local id = ARGV[2]
local task = fields(id, 'status')
if not task then return '' end
for i = 3, #ARGV do
  if task[1] == ARGV[i] then
    redis.call('DEL', KEYS[1])
    if task[1] == 'FAILED' then redis.call('LREM', KEYS[2], -1, id) end
    emit(id, 'deleted', '{"task_id":"' .. id .. '"}')
  end
end
return task[1]
