-- enqueue: (none) → PENDING, or → SCHEDULED with a delay or a due time. A batch.
-- KEYS  the task hashes
-- ARGV  prefix, then for each task: id, name, args, kwargs, queue, max_retries, delay, due, more ('' = none): a JSON object
--       of texts, which may have priority, expires or expires_in, tags (with spaces between), options (for the
--       worker), gates (JSON: rate and slots, each a key and a number)
-- =>    for each task its state now, with spaces between; 'TAKEN' where another task has the id.
--       Repeating it changes nothing, and still writes: only a server that takes writes may say that a task is there, and
--       WAIT waits for writes alone.
-- event queued | scheduled
local at = now()

local function write(where, id, name, args, kwargs, queue, max_retries, status)
  redis.call('HSET', where, 'id', id, 'name', name, 'args', args, 'kwargs', kwargs, 'queue', queue, 'retry_count', '0',
    'max_retries', max_retries, 'status', status, 'created_at', stamp(at), 'updated_at', stamp(at))
end

-- By far the most frequent call is one task that is new and has not to wait. It needs little of what is defined below.
if #KEYS == 1 and ARGV[8] == '' and ARGV[9] == '' and ARGV[10] == '' and redis.call('EXISTS', KEYS[1]) == 0 then
  local id, queue = ARGV[2], ARGV[6]
  local ready, bell = key.queue(queue), key.bell(queue)
  local waiting, rings = redis.pcall('LLEN', ready), redis.pcall('LLEN', bell)
  if type(waiting) == 'number' and type(rings) == 'number' then
    write(KEYS[1], id, ARGV[3], ARGV[4], ARGV[5], queue, ARGV[7], 'PENDING')
    emit_queued(id, queue, at)
    redis.call('LPUSH', ready, id)
    if rings < BELL_CAP then redis.call('LPUSH', bell, '1') end
    return 'PENDING'
  end
end

-- (Here the rest of the prelude goes.)
local WIDTH = 9
local NOTHING = {}
local answers, fresh, seen = {}, {}, {}
local there_before

-- A task that is there already; nil for none, false for a key of another program.
local function found(where)
  local status = redis.pcall('HGET', where, 'status')
  if type(status) == 'table' then return false end
  return status and redis.call('HMGET', where, 'status', 'name', 'args', 'kwargs', 'queue') or nil
end

-- What only some tasks have.
local function more_of(text)
  local more = cjson.decode(text)
  local wait = tonumber(more.expires_in)
  more.expires = wait and at + wait or tonumber(more.expires)
  more.lane = lane_of(more.priority)
  return more
end

-- The key of another program that is in the way of a task.
local function obstacle_of(queue, due, more)
  if more.expires and not is_ours(key.expiring(), 'zset') then return key.expiring() end
  for tag in string.gmatch(more.tags or '', '%S+') do
    if not is_ours(key.tag(tag), 'zset') then return key.tag(tag) end
  end
  return due and no_delayed() or no_line(queue, more.lane)
end

local function write_more(id, where, more)
  redis.call('HSET', where, 'more', 1)
  for _, field in ipairs({'priority', 'lane', 'tags', 'options', 'gates'}) do
    if more[field] then redis.call('HSET', where, field, more[field]) end
  end
  if more.expires then
    redis.call('HSET', where, 'expires', stamp(more.expires))
    note_time(key.expiring(), id, more.expires)
  end
  for tag in string.gmatch(more.tags or '', '%S+') do redis.call('ZADD', key.tag(tag), stamp(at), id) end
end

-- Nearly always there is none of them, and that is all there is to know.
local are_any_there = redis.call('EXISTS', unpack(KEYS)) > 0

for i = 1, #KEYS do
  local base = 2 + (i - 1) * WIDTH
  local id, name, args, kwargs, queue = unpack(ARGV, base, base + 4)
  local there = seen[id]
  if not there and are_any_there then there = found(KEYS[i]) end
  if there == false then return foreign(KEYS[i]) end
  if not there then
    local wait, due = tonumber(ARGV[base + 6]), tonumber(ARGV[base + 7])
    if wait then due = at + wait end
    if due and due <= at then due = nil end
    local status = due and 'SCHEDULED' or 'PENDING'
    local more = ARGV[base + 8] ~= '' and more_of(ARGV[base + 8]) or NOTHING
    seen[id] = {status, name, args, kwargs, queue}
    fresh[#fresh + 1] = {i, due, more}
    local obstacle = obstacle_of(queue, due, more)
    if obstacle then return foreign(obstacle) end
    answers[i] = status
  elseif there[2] == name and there[3] == args and there[4] == kwargs and there[5] == queue then
    answers[i] = there[1]
    there_before = id
  else
    answers[i] = 'TAKEN'
  end
end

if there_before and #fresh == 0 then
  pass_full_memory(key.delayed())
  redis.call('HSET', key.task(there_before), 'id', there_before)
end
for _, task in ipairs(fresh) do
  local i, due, more = task[1], task[2], task[3]
  local base = 2 + (i - 1) * WIDTH
  local id, name, args, kwargs, queue, max_retries = unpack(ARGV, base, base + 5)
  write(KEYS[i], id, name, args, kwargs, queue, max_retries, due and 'SCHEDULED' or 'PENDING')
  if more ~= NOTHING then write_more(id, KEYS[i], more) end
  if due then
    redis.call('HSET', KEYS[i], 'due', stamp(due))
    delay(id, due)
    emit(id, 'scheduled', ',"status":"SCHEDULED","due":' .. when(due) .. ',"at":' .. when(at) .. '}')
  else
    line_up(id, queue, more.lane, 'LPUSH', at)
  end
end
ring()
return table.concat(answers, ' ')
