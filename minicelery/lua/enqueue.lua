-- enqueue: (none) | SCHEDULED → PENDING, or → SCHEDULED with a delay or a due time, or when calls of a debounced task are
--       joined to it, which is due later then; or → WAITING behind others of its tenant. A batch.
-- KEYS  the task hashes
-- ARGV  prefix, then for each task: id, name, args, kwargs, queue, max_retries, delay, due, more ('' = none): a JSON object
--       of texts, which may have priority, expires or expires_in, tags (with spaces between), options (for the
--       worker), gates (JSON: rate and slots, each a key and a number), fair (a tenant);
--       once (finish, start, throttle or debounce), once_key (<name>:<hash>), hold (ms that the key is held, or the quiet
--       time), and with debounce longest (ms from the first call) and call (a hash of the arguments);
--       the first task's may have idempotency for all: hash of the key, hash of the request, number of this part, ms kept.
--       Or, for tasks of different ids that are alike and have none of the last three: prefix, name, queue, max_retries,
--       the args of all, the kwargs of all
-- =>    for each task its state now, with spaces between; 'TAKEN' where another task has the id; 'SAME=<state>=<id>' of
--       the task that has its key, the state '' where that is gone. What was answered under an idempotency key before is
--       answered again: 'AGAIN=<state>=<id>', 'SAME_AGAIN=<state>=<id>'; 'OTHER' if that was another request.
--       Repeating it changes nothing, but that a call which was the same as a task that has ended since is one of its own
--       then, unless it was joined to a debounced one. And it still writes: only a server that takes writes may say that a task is there, and
--       WAIT waits for writes alone.
-- event queued | scheduled | waiting
local at = now()

-- Most calls have tasks that are alike, new, and have not to wait. They need little of what is defined below.
local ALIKE = 4
local are_alike = #ARGV == ALIKE + 2 * #KEYS
if are_alike and redis.call('EXISTS', unpack(KEYS)) == 0 then
  local name, queue, max_retries = ARGV[2], ARGV[3], ARGV[4]
  local ready, bell = key.queue(queue), key.bell(queue)
  local waiting, rings = redis.pcall('LLEN', ready), redis.pcall('LLEN', bell)
  if type(waiting) == 'number' and type(rings) == 'number' then
    local model, args, kwargs = KEYS[1], ARGV[ALIKE + 1], ARGV[ALIKE + #KEYS + 1]
    local first = id_of(model)
    write_task(model, first, name, args, kwargs, queue, max_retries, 'PENDING', at)
    emit_queued(first, queue, at)
    if #KEYS == 1 then
      redis.call('LPUSH', ready, first)
      if rings < BELL_CAP then redis.call('LPUSH', bell, '1') end
      return 'PENDING'
    end
    local ids, times, head, tail = {first}, {}, queued_words(queue, at)
    -- A copy takes half as long as to write all fields. One of a hash with a long value would stay as large with short ones;
    -- and a server may not let us make any.
    local is_compact = redis.pcall('OBJECT', 'ENCODING', model) ~= 'hashtable'
    for i = 2, #KEYS do
      local where, its_args, its_kwargs = KEYS[i], ARGV[ALIKE + i], ARGV[ALIKE + #KEYS + i]
      ids[i] = id_of(where)
      if not is_compact or redis.pcall('COPY', model, where) ~= 1 then
        write_task(where, ids[i], name, its_args, its_kwargs, queue, max_retries, 'PENDING', at)
      elseif its_args == args and its_kwargs == kwargs then
        redis.call('HSET', where, 'id', ids[i])
      else
        redis.call('HSET', where, 'id', ids[i], 'args', its_args, 'kwargs', its_kwargs)
      end
      redis.call('PUBLISH', key.events(ids[i]), head .. ids[i] .. tail)
    end
    for i = 1, math.min(#ids, BELL_CAP - rings) do times[i] = '1' end
    call_with_all('LPUSH', ready, ids)
    call_with_all('LPUSH', bell, times)
    return 'PENDING' .. string.rep(' PENDING', #ids - 1)
  end
end

-- (Here the rest of the prelude goes.)
local SECONDS_KNOWN, WIDTH = 60, 9
local given = ARGV
if are_alike then
  given = {prefix}
  for i, where in ipairs(KEYS) do
    for _, word in ipairs({id_of(where), ARGV[2], ARGV[ALIKE + i], ARGV[ALIKE + #KEYS + i], ARGV[3], ARGV[4], '', '', ''}) do
      given[#given + 1] = word
    end
  end
end
local NOTHING = {}
local answers, fresh, joined, changed, seen, held = {}, {}, {}, {}, {}, {}
local there_before, known_by

-- A task that is there already; nil for none, false for a key of another program.
local function found(where)
  local status = redis.pcall('HGET', where, 'status')
  if not status and redis.call('EXISTS', where) == 0 then return nil end
  if not status or type(status) == 'table' then return false end
  return redis.call('HMGET', where, 'status', 'name', 'args', 'kwargs', 'queue', 'call')
end

-- The first write of what keeps a promise already made, which Redis never refuses; to a hash that is ours.
local function touch(hash) redis.call('HDEL', hash, '') end

-- The key of another program that is in the way of this.
local function once_obstacle(id, more)
  if more.where and not is_ours(more.where, 'string') then return more.where end
  if more.once == 'debounce' and not is_ours(key.debounced(id), 'string') then return key.debounced(id) end
end

local function write_once(id, due, more)
  if more.call then redis.call('HSET', key.task(id), 'call', more.call) end
  if more.once == 'debounce' then redis.call('HSET', key.task(id), 'latest', stamp(at + more.longest / 1000)) end
  take_key(id, more, more.where, more.once == 'debounce' and string.format('%.0f', (due - at) * 1000) or more.hold)
end

-- The task that a call is the same as; nil if it is to be one of its own.
local function holder_of(id, more)
  local before = more.once == 'debounce' and task_at(key.debounced(id))
  if before then
    before.is_repeat = true
    return before
  end
  if held[more.where] then return held[more.where] end
  local holder = task_at(more.where)
  if not holder or not deserves(holder, more.once, at) then return nil end
  held[more.where] = holder
  return holder
end

-- Joins a call to the debounced task that waits under its key: its arguments count from now on.
local function join(id, i, holder, more)
  holder.i, holder.due, holder.gates = i, math.min(at + more.hold / 1000, holder.latest), more.gates
  holder.fair = more.fair
  joined[#joined + 1] = {id, holder.id}
  if holder.task then
    holder.task[2], holder.task[4], holder.task[3].gates = holder.due, i, more.gates
    holder.task[3].fair = more.fair
  elseif not holder.is_changed then
    holder.is_changed = true
    changed[#changed + 1] = holder
  end
end

-- Nearly always there is none of them, and that is all there is to know.
local are_any_there = redis.call('EXISTS', unpack(KEYS)) > 0

local function whole_more_of(text)
  local more = more_of(text, at)
  more.where = key_of_call(more)
  return more
end

local first = given[10] ~= '' and whole_more_of(given[10]) or NOTHING

local asked, request, part, life
if first.idempotency then
  asked, request, part, life = string.match(first.idempotency, '^(%S+) (%S+) (%S+) (%S+)$')
  asked = key.idempotency(asked)
  if not is_ours(asked, 'hash') then return foreign(asked) end
  local before = redis.call('HMGET', asked, 'request', part)
  if before[1] and before[1] ~= request then return 'OTHER' end
  if before[2] then
    touch(asked)
    redis.call('HSET', asked, 'request', request)
    return before[2]
  end
end

for i = 1, #KEYS do
  local base = 2 + (i - 1) * WIDTH
  local id, name, args, kwargs, queue = unpack(given, base, base + 4)
  local there = seen[id]
  if not there and are_any_there then there = found(KEYS[i]) end
  if there == false then return foreign(KEYS[i]) end
  local more = NOTHING
  if i == 1 then more = first elseif given[base + 8] ~= '' and (not there or there[6]) then more = whole_more_of(given[base + 8]) end
  if not there then
    local wait, due = tonumber(given[base + 6]), tonumber(given[base + 7])
    if more.once == 'debounce' then wait = more.hold / 1000 end
    if wait then due = at + wait end
    if due and due <= at then due = nil end
    local obstacle = once_obstacle(id, more) or obstacle_of(queue, due, more)
    if obstacle then return foreign(obstacle) end
    local holder = more.once and holder_of(id, more)
    if holder then
      if more.once == 'debounce' and not holder.is_repeat then join(id, i, holder, more) end
      answers[i] = 'SAME=' .. holder.status .. '=' .. holder.id
      known_by = holder
    else
      local status, task = due and 'SCHEDULED' or state_to_come(queue, more.lane, more.fair), {i, due, more, i}
      seen[id] = {status, name, args, kwargs, queue, more.call}
      fresh[#fresh + 1] = task
      if more.once then
        local latest = more.once == 'debounce' and at + more.longest / 1000 or nil
        held[more.where] = {id = id, status = status, latest = latest, task = task}
      end
      answers[i] = status
    end
  elseif there[2] == name and there[5] == queue
    and (there[3] == args and there[4] == kwargs or there[6] and there[6] == more.call) then
    answers[i] = there[1]
    there_before = id
  else
    answers[i] = 'TAKEN'
  end
end

if #fresh == 0 and #changed == 0 and (there_before or known_by) then
  touch(key.task(there_before or known_by.id))
  if there_before then
    redis.call('HSET', key.task(there_before), 'id', there_before)
  else
    redis.call('SET', known_by.where, redis.call('GET', known_by.where), 'KEEPTTL')
  end
end
for _, task in ipairs(fresh) do
  local i, due, more, last = unpack(task, 1, 4)
  local base, body = 2 + (i - 1) * WIDTH, 2 + (last - 1) * WIDTH
  local id, name, _, _, queue, max_retries = unpack(given, base, base + 5)
  local status = due and 'SCHEDULED' or 'PENDING'
  write_task(KEYS[i], id, name, given[body + 2], given[body + 3], queue, max_retries, status, at)
  if more ~= NOTHING then write_more(id, more, at) end
  if more.once then write_once(id, due, more) end
  if due then
    redis.call('HSET', KEYS[i], 'due', stamp(due))
    delay(id, due)
    emit(id, 'scheduled', ',"status":"SCHEDULED","due":' .. when(due) .. ',"at":' .. when(at) .. '}')
  else
    come(id, queue, more.lane, more.fair, at, true)
  end
end
for _, task in ipairs(changed) do
  local body = 2 + (task.i - 1) * WIDTH
  redis.call('HSET', key.task(task.id), 'args', given[body + 2], 'kwargs', given[body + 3], 'due', stamp(task.due),
    'updated_at', stamp(at))
  for _, field in ipairs({'gates', 'fair'}) do
    if task[field] then
      redis.call('HSET', key.task(task.id), field, task[field])
    else
      redis.call('HDEL', key.task(task.id), field)
    end
  end
  redis.call('SET', task.where, task.id, 'PX', string.format('%.0f', math.max(1, (task.due - at) * 1000)))
  delay(task.id, task.due)
  emit(task.id, 'scheduled', ',"status":"SCHEDULED","due":' .. when(task.due) .. ',"at":' .. when(at) .. '}')
end
for _, call in ipairs(joined) do redis.call('SET', key.debounced(call[1]), call[2], 'EX', SECONDS_KNOWN) end
ring()

if asked then
  local words, is_any = {}, false
  for i, answer in ipairs(answers) do
    if answer == 'TAKEN' then
      words[i] = answer
    else
      is_any = true
      words[i] = string.sub(answer, 1, 5) == 'SAME=' and 'SAME_AGAIN=' .. string.sub(answer, 6)
        or 'AGAIN=' .. answer .. '=' .. given[2 + (i - 1) * WIDTH]
    end
  end
  if is_any then
    redis.call('HSET', asked, 'request', request, part, table.concat(words, ' '))
    redis.call('PEXPIRE', asked, life)
  end
end
return table.concat(answers, ' ')
