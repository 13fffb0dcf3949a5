-- locate: where a task is. Reads only.
-- KEYS  the task hash, delayed, dead letters, workers
-- ARGV  prefix, id
-- =>    {state or '', places…}: each place of 'ready', 'delayed', 'claimed', 'dead' that holds the id
local id = ARGV[2]
local task = fields(id, 'status', 'queue', 'token', 'worker')
if not task then return {''} end
local places = {task[1]}
for _ = 1, #redis.call('LPOS', key.queue(task[2]), id, 'COUNT', 0) do places[#places + 1] = 'ready' end
if redis.call('ZSCORE', KEYS[2], id) then places[#places + 1] = 'delayed' end
if task[4] and redis.call('HGET', key.claimed(task[4]), id) == task[3] and redis.call('ZSCORE', KEYS[4], task[4]) then
  places[#places + 1] = 'claimed'
end
for _ = 1, #redis.call('LPOS', KEYS[3], id, 'COUNT', 0) do places[#places + 1] = 'dead' end
return places
