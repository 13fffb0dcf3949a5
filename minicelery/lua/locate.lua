-- locate: where a task is. Reads only.
-- KEYS  the task hash, delayed, dead letters, workers, then any ready lists and claimed hashes to look into besides
-- ARGV  prefix, id, then a name for each of the latter
-- =>    {state or '', places…}: each place of 'ready' (its queue, or the queue's quarantine if that is its lane), 'delayed',
--       'claimed', 'dead' that holds the id, then by their names those of the others that are not the task's own and hold
--       it too
local id = ARGV[2]
local task = fields(id, 'status', 'queue', 'token', 'worker', 'lane') or {''}
local places = {task[1]}

local function look(list, name)
  for _ = 1, #redis.call('LPOS', list, id, 'COUNT', 0) do places[#places + 1] = name end
end

local ready = task[2] and (task[5] == 'quarantine' and key.quarantine or key.queue)(task[2])
local claimed = task[4] and redis.call('ZSCORE', KEYS[4], task[4]) and key.claimed(task[4])
claimed = claimed and redis.call('HGET', claimed, id) == task[3] and claimed

if ready then look(ready, 'ready') end
if redis.call('ZSCORE', KEYS[2], id) then places[#places + 1] = 'delayed' end
if claimed then places[#places + 1] = 'claimed' end
look(KEYS[3], 'dead')
for i = 5, #KEYS do
  local kind = KEYS[i] ~= ready and KEYS[i] ~= claimed and redis.call('TYPE', KEYS[i]).ok
  if kind == 'list' then look(KEYS[i], ARGV[i - 2]) end
  if kind == 'hash' and redis.call('HEXISTS', KEYS[i], id) == 1 then places[#places + 1] = ARGV[i - 2] end
end
return places
