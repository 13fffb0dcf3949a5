-- forget: SUCCESS | FAILED | CANCELLED | EXPIRED → (none). The tasks and their results or errors are deleted. A batch.
-- KEYS  dead letters, forgotten (of this request)
-- ARGV  prefix, the states that they may be in, ids; for a part of the dead letters 'PART' and what `part_of_letters` asks for
-- =>    for each id the state it was in, also when this very request has deleted it before; '' when there is no such task.
--       Nothing is deleted in any other state; nor what was cancelled and whose run is not over, which is RUNNING here. For a
--       part of the dead letters: as `revive` answers
-- event deleted
local dead_letter, forgotten = KEYS[1], KEYS[2]
local states, SECONDS_KEPT = ' ' .. ARGV[2] .. ' ', 60
local part = ARGV[2] == 'PART' and part_of_letters(dead_letter, forgotten, 3)
if part and part.before then return part.before end
local answers, current, seen = {}, {}, {}
local before = not part and redis.call('GET', forgotten)
for state in string.gmatch(before or '', '(%u*) ') do answers[#answers + 1] = state end
if before then return answers end


for _, id in ipairs(part and part.ids or {unpack(ARGV, 3)}) do
  local task = not seen[id] and fields(id, 'status', 'expires', 'tags', 'keep')
  local status = seen[id] or task and task[1] or ''
  -- One that was cancelled is still in the hands of its worker while it has a time to be kept for.
  if task and task[4] then status = 'RUNNING' end
  if task and (part or string.find(states, ' ' .. status .. ' ', 1, true)) then
    if status == 'FAILED' and no_dead_letter() then return foreign(dead_letter) end
    current[#current + 1] = {id, task}
  end
  seen[id] = status
  answers[#answers + 1] = status
end

if part then answers = part.take(current) end
for _, one in ipairs(current) do
  local id, task = one[1], one[2]
  if task[1] == 'FAILED' and not part then redis.call('LREM', dead_letter, -1, id) end
  leave_indexes(id, task[2], task[3])
  redis.call('DEL', key.task(id))
  emit(id, 'deleted', '}')
end
if not part and #current > 0 then redis.call('SET', forgotten, table.concat(answers, ' ') .. ' ', 'EX', SECONDS_KEPT) end
return answers
