-- locate: where a task is. Reads only.
-- KEYS  the task hash, delayed, dead letters, workers, then any ready lists and claimed hashes to look into besides
-- ARGV  prefix, id, then a name for each of the latter
-- =>    {state, places…}: each place of 'ready', 'delayed', 'claimed', 'dead' that holds the id, then by their names
--       those of the others that are not the task's own and hold it too; at last 'forever' for a SUCCESS that does not
--       expire, 'expiring' for anything else that does. The state is '' where there is no task, and 'INCOMPLETE'
--       with the faulty field behind it where there is no whole one
local id = ARGV[2]
local task = examine(id, KEYS[4])
local answer = {task.state, task.fault}
for _, place in ipairs(places_of(id, task, {unpack(ARGV, 3)})) do
  for _ = 1, place.times do answer[#answer + 1] = place.name end
end
answer[#answer + 1] = task.life
return answer
