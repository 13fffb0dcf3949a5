-- Shared by every script: the clock, the keys (generated from keys.py above this text), and the moves
-- that several transitions have in common. ARGV[1] is always the key prefix of the namespace.

local BELL_CAP = 100

-- Most times of a call are the same one, and writing a number takes as long as a write to Redis does.
local stamps, dates = {}, {}

-- Seconds with milliseconds. tostring() would keep 14 digits only.
local function stamp(seconds)
  if not stamps[seconds] then stamps[seconds] = string.format('%.3f', seconds) end
  return stamps[seconds]
end

-- Whole milliseconds, so that all that is derived from one call agrees however it is written.
local function now()
  local t = redis.call('TIME')
  local ms = math.floor(tonumber(t[2]) / 1000)
  local at = tonumber(t[1]) + ms / 1000
  stamps[at] = string.format('%s.%03d', t[1], ms)
  return at
end

-- The same for people: RFC 3339 in UTC, as JSON. Civil from days after Howard Hinnant, "chrono-Compatible Low-Level Date
-- Algorithms". Divided by (a - a % b) / b, which costs half of what math.floor does.
local function when(seconds)
  if dates[seconds] then return dates[seconds] end
  local ms = math.floor(seconds * 1000 + 0.5)
  local rest = ms % 86400000
  local day = (ms - rest) / 86400000 + 719468
  local doe = day % 146097
  local year = (day - doe) / 146097 * 400
  local yoe = doe - (doe - doe % 1460) / 1460 + (doe - doe % 36524) / 36524 - (doe - doe % 146096) / 146096
  yoe = (yoe - yoe % 365) / 365
  local doy = doe - (365 * yoe + (yoe - yoe % 4) / 4 - (yoe - yoe % 100) / 100)
  local m = 5 * doy + 2
  m = (m - m % 153) / 153
  local days = 153 * m + 2
  local month, part = m < 10 and m + 3 or m - 9, rest % 60000
  local minutes = (rest - part) / 60000
  dates[seconds] = string.format('"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"', year + yoe + (month <= 2 and 1 or 0), month,
    doy - (days - days % 5) / 5 + 1, (minutes - minutes % 60) / 60, minutes % 60, (part - part % 1000) / 1000, part % 1000)
  return dates[seconds]
end

-- Redis that has reached its memory limit refuses a script whose first write may enlarge it. Whatever gives
-- memory back, or keeps a promise already made, starts with this write, which Redis never refuses.
local function pass_full_memory(zset) redis.call('ZREM', zset, '') end

-- One command with many arguments, of which Lua's stack bears some thousand at once.
local SLICE = 1000
local function call_with_all(command, where, list)
  for i = 1, #list, SLICE do redis.call(command, where, unpack(list, i, math.min(i + SLICE - 1, #list))) end
end

-- `rest` is the JSON that goes on behind the id, to the end of `data`: ',"at":…}'. Ids, states and queue names are checked
-- at the door, so they need no escaping.
local function emit(id, event, rest)
  redis.call('PUBLISH', key.events(id), '{"event":"' .. event .. '","data":{"task_id":"' .. id .. '"' .. rest .. '}')
end

-- What stands before and behind the id in the event that a task is ready.
local function queued_words(queue, at)
  return '{"event":"queued","data":{"task_id":"', '","status":"PENDING","queue":"' .. queue .. '","at":' .. when(at) .. '}}'
end

local function emit_queued(id, queue, at)
  local head, tail = queued_words(queue, at)
  redis.call('PUBLISH', key.events(id), head .. id .. tail)
end

-- ---- Nothing after the first write may fail: what could is asked before it

local kinds = {}

-- Whether a key holds what we keep there, or nothing yet. Another program may have put something else under it.
local function is_ours(where, kind)
  kinds[where] = kinds[where] or redis.call('TYPE', where).ok
  return kinds[where] == kind or kinds[where] == 'none'
end

local sizes = {}

-- How long a list is, 0 where there is none; false for a key under which another program has put something else.
local function length(where)
  if sizes[where] == nil then
    local found = redis.pcall('LLEN', where)
    sizes[where] = type(found) == 'number' and found
  end
  return sizes[where]
end

local readies, bells = {}, {}

-- The list of what is ready in a queue and the bell of that list; in its quarantine, or with a priority, if that is the
-- lane.
local function line(queue, lane)
  if lane == 'quarantine' then return key.quarantine(queue), key.quarantine_bell(queue) end
  if lane then return key.priority(lane .. ':' .. queue), key.bell(queue) end
  if not readies[queue] then readies[queue], bells[queue] = key.queue(queue), key.bell(queue) end
  return readies[queue], bells[queue]
end

-- The lane of a task with this priority; nil for the normal one.
local function lane_of(priority)
  if priority and string.find(priority, '^%d$') and tonumber(priority) ~= NORMAL_PRIORITY then return priority end
end

-- For each way that a task can go, the key of another program that is in its way; nil if it can go.
local function no_line(queue, lane)
  local ready, bell = line(queue, lane)
  if not length(ready) then return ready end
  if not length(bell) then return bell end
  if lane and lane ~= 'quarantine' and not is_ours(key.priorities(queue), 'zset') then return key.priorities(queue) end
  return nil
end
local function no_delayed() return not is_ours(key.delayed(), 'zset') and key.delayed() or nil end
local function no_dead_letter() return not is_ours(key.dead_letter(), 'list') and key.dead_letter() or nil end

-- The answer of a script whose caller is to try again when that key is gone.
local function foreign(where) return redis.error_reply('WRONGTYPE ' .. where .. ' holds what another program has put there') end

local lines = {}

-- Tells that a task is ready, and remembers to put it into the ready list of its queue, or into the queue's quarantine if
-- that is the task's lane: at the tail ('LPUSH'), or at the head ('RPUSH') what was already claimed once.
local function line_up(id, queue, lane, push, at)
  local ready, bell = line(queue, lane)
  emit_queued(id, queue, at)
  local found = lines[push .. ready] or {ready = ready, push = push, bell = bell, queue = queue, lane = lane}
  lines[push .. ready] = found
  found[#found + 1] = id
end

local function make_ready(id, queue, lane, push, at)
  redis.call('HSET', key.task(id), 'status', 'PENDING', 'updated_at', stamp(at))
  line_up(id, queue, lane, push, at)
end

-- Puts all that the script has made ready into its lists, and rings for it.
local function ring()
  for _, ids in pairs(lines) do
    call_with_all(ids.push, ids.ready, ids)
    if ids.lane and ids.lane ~= 'quarantine' then redis.call('ZADD', key.priorities(ids.queue), ids.lane, ids.lane) end
    local times = {}
    for i = 1, math.min(#ids + (ids.behind or 0), BELL_CAP - length(ids.bell)) do times[i] = '1' end
    call_with_all('LPUSH', ids.bell, times)
    sizes[ids.bell] = length(ids.bell) + #times
  end
end

-- Into a timetable. If it is now the next one due there, every waiting upkeep is told.
local function note_time(timetable, id, due)
  redis.call('ZADD', timetable, stamp(due), id)
  if redis.call('ZRANGE', timetable, 0, 0)[1] == id then redis.call('PUBLISH', key.alarm(), stamp(due)) end
end

local function delay(id, due) note_time(key.delayed(), id, due) end

-- ---- Writing what is new

-- The id in the key of a task's hash.
local function id_of(where) return string.sub(where, #key.task('') + 1) end

local function write_task(where, id, name, args, kwargs, queue, max_retries, status, at)
  local time = stamp(at)
  redis.call('HSET', where, 'id', id, 'name', name, 'args', args, 'kwargs', kwargs, 'queue', queue,
    'retry_count', '0', 'max_retries', max_retries, 'status', status, 'created_at', time, 'updated_at', time)
end

-- What only some tasks have.
local function more_of(text, at)
  local more = cjson.decode(text)
  local wait = tonumber(more.expires_in)
  more.expires = wait and at + wait or tonumber(more.expires)
  more.lane = lane_of(more.priority)
  return more
end

-- The key of another program that is in the way of a new task.
local function obstacle_of(queue, due, more)
  if more.expires and not is_ours(key.expiring(), 'zset') then return key.expiring() end
  for tag in string.gmatch(more.tags or '', '%S+') do
    if not is_ours(key.tag(tag), 'zset') then return key.tag(tag) end
  end
  return due and no_delayed() or no_line(queue, more.lane)
end

local function write_more(id, more, at)
  redis.call('HSET', key.task(id), 'more', 1)
  for _, field in ipairs({'priority', 'lane', 'tags', 'options', 'gates', 'fair'}) do
    if more[field] then redis.call('HSET', key.task(id), field, more[field]) end
  end
  if more.expires then
    redis.call('HSET', key.task(id), 'expires', stamp(more.expires))
    note_time(key.expiring(), id, more.expires)
  end
  for tag in string.gmatch(more.tags or '', '%S+') do redis.call('ZADD', key.tag(tag), stamp(at), id) end
end

local told

-- Whether the code of a live worker declares a schedule, or 'queue/<name>', in just this version.
local function is_declared(name, version, at)
  local words = '"' .. name .. ' ' .. version .. '"'
  if not told then
    told = {}
    for _, worker in ipairs(redis.call('ZRANGEBYSCORE', key.workers(), '(' .. stamp(at), '+inf')) do
      local facts = redis.pcall('GET', key.worker(worker))
      if type(facts) == 'string' then told[#told + 1] = facts end
    end
  end
  for _, facts in ipairs(told) do
    if string.find(facts, words, 1, true) then return true end
  end
  return false
end

-- ---- Tasks that are over before they have run, and what is kept of unfinished tasks only

-- Reads further fields of a task that has more than others.
local function add_more(id, task, ...)
  local values = task.more and redis.call('HMGET', key.task(id), ...) or {}
  for i = 1, select('#', ...) do task[select(i, ...)] = values[i] or nil end
end

-- Takes an id out of a sorted set. Where another program has put something else there, it is not in there.
local function take_out(zset, id) redis.pcall('ZREM', zset, id) end

local function leave_indexes(id, expires, tags)
  if expires then take_out(key.expiring(), id) end
  for tag in string.gmatch(tags or '', '%S+') do take_out(key.tag(tag), id) end
end

-- How many entries of ready lists one call of a script looks at, to take out what waits no more. What is left in a long list
-- has no PENDING task, and the claim that comes to it passes it by.
local looks = 100000

local function leave_line(id, queue, lane)
  local ready = line(queue, lane)
  local long = length(ready)
  if long and long > 0 and long <= looks then
    looks = looks - long
    sizes[ready] = long - redis.call('LREM', ready, 1, id)
    if sizes[ready] == 0 and lane and lane ~= 'quarantine' then take_out(key.priorities(queue), lane) end
  end
end

-- Gives up the key that a task holds, '<until> <name>:<hash>', if it still has it.
local function free_unique(id, unique)
  local where = key.unique(string.match(unique, ' (.*)') or '')
  if redis.pcall('GET', where) == id then redis.call('DEL', where) end
end

local function end_unique(id)
  local unique = redis.call('HGET', key.task(id), 'unique')
  if unique then free_unique(id, unique) end
end

-- Ends a task that waits and is in no place by now: CANCELLED or EXPIRED, told by an event, and kept as a result is.
local function end_unrun(id, task, status, keep, at)
  redis.call('HSET', key.task(id), 'status', status, 'updated_at', stamp(at))
  redis.call('HDEL', key.task(id), 'due')
  redis.call('PEXPIRE', key.task(id), keep)
  leave_indexes(id, task.expires, task.tags)
  end_unique(id)
  emit(id, string.lower(status), ',"status":"' .. status .. '","retry_count":' .. task.retry_count .. ',"at":'
    .. when(at) .. '}')
end


-- Fields of a task, or nil where there is no task hash at the key.
local function fields(id, ...)
  local values = redis.pcall('HMGET', key.task(id), ...)
  if values.err or not values[1] then return nil end
  return values
end

-- The token under which an outcome was recorded last. A success is the end and needs no note: its token says it.
local function settled_by(status, token, noted) return status == 'SUCCESS' and token or noted end

-- What the fields that every task has must look like, and its counters.
local RULES = '^[%w_.:-]+ [%w_.:-]+ [%w_.:-]+ %d+ %d+ %d+%.?%d* %d+%.?%d* %d+ %d+ %d+ %d+%.[!-~]*$'
local LONGEST = 128
-- The place that each state names.
local HOMES = {PENDING = 'ready', SCHEDULED = 'delayed', RETRYING = 'delayed', RUNNING = 'claimed', FAILED = 'dead', WAITING = 'waiting',
  SUCCESS = '', CANCELLED = '', EXPIRED = ''}

-- The first of these fields that is missing or wrong.
local function fault_of(task)
  local rule = string.gmatch(string.sub(RULES, 2, -2), '%S+')
  for _, name in ipairs({'id', 'name', 'queue', 'retry_count', 'max_retries', 'created_at', 'updated_at', 'crashes',
    'solo_crashes', 'released', 'token'}) do
    if #task[name] > LONGEST or not string.find(task[name], '^' .. rule() .. '$') then return name end
  end
end

-- A task by the names of its fields: the status, those that have rules, and further ones that are asked for. For what no
-- script of ours has written: nil, and the field that is missing or wrong.
local function whole(id, ...)
  local values = redis.pcall('HMGET', key.task(id), 'id', 'name', 'queue', 'retry_count', 'max_retries', 'created_at',
    'updated_at', 'crashes', 'solo_crashes', 'released', 'token', 'status', ...)
  if values.err then return nil, 'type' end
  local found, name, queue, retry_count, max_retries, created_at, updated_at = unpack(values, 1, 7)
  local crashes, solo_crashes, released, token, status = unpack(values, 8, 12)
  local task = {id = found or '', name = name or '', queue = queue or '', retry_count = retry_count or '',
    max_retries = max_retries or '', created_at = created_at or '', updated_at = updated_at or '', crashes = crashes or '0',
    solo_crashes = solo_crashes or '0', released = released or '0', token = token or '0.', status = status}
  -- All at once: one after the other they would take longer than it takes to read the fields.
  local names = task.id .. ' ' .. task.name .. ' ' .. task.queue
  local numbers = task.retry_count .. ' ' .. task.max_retries .. ' ' .. task.created_at .. ' ' .. task.updated_at .. ' '
    .. task.crashes .. ' ' .. task.solo_crashes .. ' ' .. task.released .. ' ' .. task.token
  local is_long = #names > LONGEST or #numbers > LONGEST
  local fault = (is_long or not string.find(names .. ' ' .. numbers, RULES)) and fault_of(task)
  if fault then return nil, fault end
  for i = 1, select('#', ...) do
    local further, value = select(i, ...), values[12 + i]
    if not value and (further == 'args' or further == 'kwargs') then return nil, further end
    if further == 'lane' and value and value ~= 'quarantine' and not lane_of(value) then return nil, further end
    task[further] = value
  end
  if task.id ~= id then return nil, 'id' end
  if not HOMES[task.status] then return nil, 'status' end
  if line(task.queue) == key.dead_letter() then return nil, 'queue' end
  return task
end

-- ---- Calls that may be the same as earlier ones

-- The key by which a call may be the same as another one; nil for a call that is always one of its own.
local function key_of_call(more)
  if more.once == 'throttle' then return key.throttle(more.once_key) end
  if more.once == 'debounce' then return key.debounce(more.once_key) end
  return more.once and key.unique(more.once_key)
end

-- The task whose id is kept at a key; nil where there is no id. Of a task that is gone the status is ''.
local function task_at(where)
  local id = redis.call('GET', where)
  if not id or #id > LONGEST or not string.find(id, '^[%w_.:-]+$') then return nil end
  local task = fields(id, 'status', 'keep', 'token', 'latest') or {}
  local status = HOMES[task[1]] and task[1] or ''
  return {id = id, status = status, where = where, keep = task[2], token = task[3], latest = tonumber(task[4] or nil)}
end

-- Whether a task deserves the key that it has. Of a unique one it is not over, nor a run of it that was cancelled; a
-- debounced one waits for its first claim, and may wait longer.
local function deserves(task, once, at)
  if once == 'throttle' then return true end
  if once == 'debounce' then return task.status == 'SCHEDULED' and not task.token and task.latest and task.latest > at end
  local is_over = task.status == '' or HOMES[task.status] == '' or HOMES[task.status] == 'dead'
  return not is_over or task.status == 'CANCELLED' and task.keep
end

-- Gives a new task the key of its call, for so many milliseconds.
local function take_key(id, more, where, hold)
  if more.once == 'finish' or more.once == 'start' then
    redis.call('HSET', key.task(id), 'unique', more.once .. ' ' .. more.once_key)
  end
  redis.call('SET', where, id, 'PX', hold)
end

-- ---- Turns: the tenants of a queue

-- A task with a fair key belongs to a tenant. In each list at most one task of a tenant waits for the tenant's turn: its front,
-- whose `pass` is the tenant's room, 'fair/<priority>/<queue>/<tenant>', and which is `out` there. Further ones wait in that
-- room, in the order in which they came. Whenever the front leaves the list, the next one comes to the tail of the list. So
-- tenants take turns, and a task without a tenant counts as one of its own.
local TURN = '^fair/(%d)/([^/]*)/(.*)$'

local function is_turn(room) return string.sub(room or '', 1, 5) == 'fair/' end

-- The name of a tenant's room in a list.
local function turn_room(queue, lane, tenant)
  return 'fair/' .. (lane or NORMAL_PRIORITY) .. '/' .. queue .. '/' .. tenant
end

-- The tenants of a list of which tasks wait for their turn, by the name of one of their rooms; and which of them that is.
local function tenants_of(name)
  local priority, queue, tenant = string.match(name, TURN)
  return key.tenants((priority or '') .. ':' .. (queue or '')), tenant or ''
end

-- How many tasks of a tenant wait is noted among the tenants of its list.
local function note_turns(name)
  local tenants, tenant = tenants_of(name)
  local count = redis.pcall('ZCARD', key.waiting(name))
  if type(count) ~= 'number' or not is_ours(tenants, 'zset') then return end
  if count > 0 then redis.call('ZADD', tenants, count, tenant) else redis.call('ZREM', tenants, tenant) end
end

-- Whether a task is the one of its tenant that is in line.
local function is_front(id, name)
  local task = id and fields(id, 'status', 'pass')
  return task and task[1] == 'PENDING' and task[2] == name
end

-- Makes a task its tenant's front: it is in line from now on, or where the ready list is given, at its tail. `since` is when
-- one came that has waited for its turn: it may be older than those before it.
local function stand(id, name, at, ready, since)
  local priority, queue = string.match(name, TURN)
  redis.call('HSET', key.task(id), 'status', 'PENDING', 'pass', name, 'updated_at', stamp(at))
  if since then redis.pcall('ZADD', key.elders(priority .. ':' .. queue), since, id) end
  redis.call('HSET', key.room(name), 'out', id)
  if ready then
    emit_queued(id, queue, at)
    redis.call('LPUSH', ready, id)
  else
    line_up(id, queue, lane_of(priority), 'LPUSH', at)
  end
end

-- Looks at a list beyond its end: of each tenant whose front leaves it, the next one comes to its tail. What is said to leave
-- is written down by `close`.
local function round_of(at)
  local MOST_STRAYS = 1000
  local round, behind, met, places, gone, strays, left = {}, {}, 0, {}, {}, {}, {}

  local function look(name)
    for _ = 1, MOST_STRAYS do
      local id = redis.call('ZRANGE', key.waiting(name), places[name], places[name])[1]
      if not id then return end
      places[name] = places[name] + 1
      local task = fields(id, 'status', 'room', 'since', 'created_at')
      if task and task[1] == 'WAITING' and task[2] == name then
        behind[#behind + 1] = {id, name, task[3] or task[4]}
        return
      end
      strays[#strays + 1] = {id, name}
    end
  end

  -- One who stood in line is an elder there no more.
  local function forget(id, name)
    local priority, queue = string.match(name, TURN)
    local elders = priority and key.elders(priority .. ':' .. queue)
    if not elders or type(id) ~= 'string' then return end
    left[elders] = left[elders] or {}
    left[elders][#left[elders] + 1] = id
  end

  -- Who is next behind the end of the list, and its tenant's room; nil if nobody is.
  function round.ahead()
    local one = behind[met + 1]
    if one then return one[1], one[2] end
  end

  -- How many have come to the tail of the list and have not left it again.
  function round.count() return #behind - met end

  -- Who stands in the list as a tenant's front leaves it; or, if `is_ahead`, the one whom `ahead` tells.
  function round.leave(id, name, is_ahead)
    if is_ahead then
      met = met + 1
      if places[name] then look(name) end
    elseif places[name] == nil then
      local are_ours = is_ours(key.waiting(name), 'zset') and is_ours(key.room(name), 'hash')
      places[name] = are_ours and redis.call('HGET', key.room(name), 'out') == id and 0
      if places[name] then look(name) end
    end
    if id then gone[#gone + 1] = id end
    if id and not is_ahead then forget(id, name) end
  end

  -- As if the front of a room had left that is nowhere.
  function round.miss(name)
    if places[name] then return end
    places[name] = 0
    forget(redis.pcall('HGET', key.room(name), 'out'), name)
    look(name)
  end

  function round.close(ready)
    for _, id in ipairs(gone) do redis.call('HDEL', key.task(id), 'pass', 'room', 'place') end
    for elders, ids in pairs(left) do
      for i = 1, #ids, SLICE do redis.pcall('ZREM', elders, unpack(ids, i, math.min(i + SLICE - 1, #ids))) end
    end
    for _, one in ipairs(strays) do redis.call('ZREM', key.waiting(one[2]), one[1]) end
    local led = {}
    for i, one in ipairs(behind) do
      local id, name = one[1], one[2]
      local priority, queue = string.match(name, TURN)
      if i <= met then
        redis.call('ZREM', key.waiting(name), id)
      elseif ready or not no_line(queue, lane_of(priority)) then
        led[name] = true
        redis.call('ZREM', key.waiting(name), id)
        redis.call('HDEL', key.task(id), 'room', 'place')
        stand(id, name, at, ready, one[3])
      end
    end
    for name, place in pairs(places) do
      if place then
        note_turns(name)
        if not led[name] then
          redis.call('HDEL', key.room(name), 'out')
          if redis.call('EXISTS', key.waiting(name)) == 0 then redis.call('DEL', key.room(name)) end
        end
      end
    end
  end

  return round
end

-- The front of a tenant has left its list, or is lost: the next one follows.
local function give_turn(id, name, at)
  local round = round_of(at)
  if id then round.leave(id, name) else round.miss(name) end
  round.close()
end

-- A ready list by its priority and queue, '<priority>:<queue>'.
local function ending_of(ready)
  local start = key.priority('')
  if string.sub(ready, 1, #start) == start then return string.sub(ready, #start + 1) end
  return NORMAL_PRIORITY .. ':' .. string.sub(ready, #key.queue('') + 1)
end

local fronts = {}

-- The room whose front a task was that is none any more; looked for among the hundred tenants of a list of which most tasks
-- wait, which are read once in a call. nil if it was nobody's.
local function room_of_lost(id, ready)
  if not fronts[ready] then
    local found, ending = {}, ending_of(ready)
    local priority, queue = string.match(ending, '^(%d):(.*)$')
    for _, tenant in ipairs(redis.pcall('ZREVRANGE', key.tenants(ending), 0, 99)) do
      local name = turn_room(queue or '', priority, tenant)
      local are_ours = is_ours(key.waiting(name), 'zset') and is_ours(key.room(name), 'hash')
      local front = are_ours and redis.call('HGET', key.room(name), 'out')
      if front then found[front] = name end
    end
    fronts[ready] = found
  end
  return fronts[ready][id]
end

-- About how many tasks wait for their turn in the list of a room: those of the ten tenants with the most.
local function backlog_of(name)
  local found, sum = redis.pcall('ZREVRANGE', (tenants_of(name)), 0, 9, 'WITHSCORES'), 0
  for i = 2, #found, 2 do sum = sum + tonumber(found[i]) end
  return sum
end

local turns = {}

-- What there is to know of a tenant in a list: its room's name, and whether a task of it is in line, or else some wait. nil
-- where no turns are taken: without a tenant, in quarantine, or as another program has taken a key of them.
local function turn_of(queue, lane, tenant)
  if not tenant or tenant == '' or lane == 'quarantine' then return nil end
  local name = turn_room(queue, lane, tenant)
  local turn = turns[name]
  if not turn then
    turn = {name = name}
    turn.is_ours = is_ours(key.waiting(name), 'zset') and is_ours(key.room(name), 'hash') and is_ours(tenants_of(name), 'zset')
    turn.has_front = turn.is_ours and is_front(redis.call('HGET', key.room(name), 'out'), name)
    turn.is_lost = turn.is_ours and not turn.has_front and redis.call('EXISTS', key.waiting(name)) == 1
    turn.is_led = turn.has_front or turn.is_lost
    turns[name] = turn
  end
  return turn.is_ours and turn or nil
end

-- The state of a task that is to `come`, before anything is written.
local function state_to_come(queue, lane, tenant)
  local turn = turn_of(queue, lane, tenant)
  local is_behind = turn and turn.is_led
  if turn then turn.is_led = true end
  return is_behind and 'WAITING' or 'PENDING'
end

-- A task comes to the tail of its list, or behind others of its tenant into the tenant's room. `is_pending`: it is written down
-- as PENDING already.
local function come(id, queue, lane, tenant, at, is_pending)
  local turn = turn_of(queue, lane, tenant)
  if not turn then return (is_pending and line_up or make_ready)(id, queue, lane, 'LPUSH', at) end
  if not turn.has_front and not turn.is_lost then
    turn.has_front = true
    return stand(id, turn.name, at)
  end
  local name, ready = turn.name, line(queue, lane)
  local place = redis.pcall('HINCRBY', key.room(name), 'seq', 1)
  if type(place) ~= 'number' then place = 0 end
  redis.call('ZADD', key.waiting(name), place, id)
  redis.call('HSET', key.task(id), 'status', 'WAITING', 'room', name, 'place', place, 'updated_at', stamp(at))
  note_turns(name)
  emit(id, 'waiting', ',"status":"WAITING","room":"' .. name .. '","at":' .. when(at) .. '}')
  if turn.is_lost then
    turn.is_lost, turn.has_front = false, true
    return give_turn(nil, name, at)
  end
  -- It is rung for as for any other, though it is in line only when its turn comes.
  local found = lines['LPUSH' .. ready] or {ready = ready, push = 'LPUSH', bell = key.bell(queue), queue = queue, lane = lane}
  lines['LPUSH' .. ready] = found
  found.behind = (found.behind or 0) + 1
end

-- A place in a room of gates is a priority's part of all numbers, then a round, then who came first.
local PART = 1e12

-- One of a tenant's tasks comes back to its place in a room of gates (`by` 1), or leaves it (-1): the priority and the round
-- of the place. As long as a tenant has a task there the room has the field 'last/<priority>/<tenant>': the round of its last
-- place, and how many tasks of it there are.
local function count_place(name, task, by)
  local number = tonumber(task.place or nil) or 0
  local rest = number % PART
  local priority, turn = string.format('%.0f', 9 - (number - rest) / PART), string.format('%.0f', math.floor(rest))
  local last = task.fair and 'last/' .. priority .. '/' .. task.fair
  local known = last and redis.pcall('HGET', key.room(name), last)
  local latest, many = string.match(type(known) == 'string' and known or '', '^(%d+):?(%d*)$')
  local count = last and (tonumber(many or nil) or latest and 1 or 0) + by or 0
  if count > 0 then
    redis.pcall('HSET', key.room(name), last, (latest or turn) .. string.format(':%d', count))
  elseif latest then
    redis.call('HDEL', key.room(name), last)
  end
  return priority, turn
end

-- ---- Gates: what tasks may have to wait for

-- A gate is a limit of a task's name or of a key of it, or the pause of a name: 'rate/<name>/<key>', 'slots/<name>',
-- 'pause/<name>'. Tasks with the same gates wait in one room, in order; a room waits at the gate that stopped its first task,
-- and rooms pass a gate in the order in which they came to it. When it opens, the first task of the first room is put
-- forward: it goes to the head of its ready list, and what it needs it takes in the claim. Nobody polls.
--
-- All of it is in one function, so that a call that meets no gate does not define what it has no use for.
local function gatekeeper(at)
  local RECHECK, AT_ONCE, LONGEST, SIGHT, DEEP = 5, 50, 1000, 100, 10000
  local keeper, controls, states, rooms, led_now = {}, {}, {}, {}, {}

  -- A key that another program has taken counts as empty: what a script has begun it must be able to end.
  local function try(...)
    local answer = redis.pcall(...)
    if type(answer) == 'table' and answer.err then return nil end
    return answer
  end

  local function control(field)
    if controls[field] == nil then controls[field] = try('HGET', key.controls(), field) or false end
    return controls[field]
  end

  -- A limit as a number that the arithmetic here bears: seconds between two starts, or slots; nil for none.
  local function within_bounds(kind, value)
    local number = tonumber(value or nil)
    if number and number >= (kind == 'rate' and 1e-4 or 1) and number <= (kind == 'rate' and 31 * 86400 or 1e5) then
      return number
    end
  end

  local function own_gates(task)
    local found = {}
    local read, own = pcall(cjson.decode, task.gates or '{}')
    for _, kind in ipairs({'rate', 'slots'}) do
      local one = read and type(own) == 'table' and own[kind]
      if type(one) == 'table' and type(one[1]) == 'string' then
        local name = kind .. '/' .. task.name
        found[#found + 1] = {kind = kind, name = name, id = name .. (one[1] ~= '' and '/' .. one[1] or ''),
          value = within_bounds(kind, one[2])}
      end
    end
    return found
  end

  local function gates_of(task)
    local found, is_own = {}, {}
    if control('pause/' .. task.name) then found[1] = {kind = 'pause', id = 'pause/' .. task.name} end
    for _, gate in ipairs(own_gates(task)) do
      is_own[gate.kind] = true
      gate.value = within_bounds(gate.kind, control(gate.name)) or gate.value
      if gate.value and gate.value > 0 then found[#found + 1] = gate end
    end
    for _, kind in ipairs({'rate', 'slots'}) do
      local value = not is_own[kind] and within_bounds(kind, control(kind .. '/' .. task.name))
      if value and value > 0 then found[#found + 1] = {kind = kind, id = kind .. '/' .. task.name, value = value} end
    end
    return found
  end

  -- A start now would leave a rate shut for an interval. What is noted as later is from before its limit was raised, or the clock
  -- set back.
  local function state_of(gate)
    local state = states[gate.id]
    if not state then
      state = {}
      if gate.kind == 'rate' then
        local tat = tonumber(try('HGET', key.gate(gate.id), 'tat') or nil) or 0
        state.tat = math.min(tat, at + gate.value)
        state.is_earlier = tat > state.tat + 1e-6
      end
      if gate.kind == 'slots' then state.used = try('ZCARD', key.slots(gate.id)) or 0 end
      states[gate.id] = state
    end
    return state
  end

  -- Kept to the microsecond: a rate that is counted in milliseconds, as times are, would be another one.
  local function note_tat(gate_id, tat) try('HSET', key.gate(gate_id), 'tat', string.format('%.6f', tat)) end

  -- The first of the whole milliseconds that the clock tells at which a rate is open.
  local function opening(tat) return math.ceil(tat * 1000 - 5e-4) / 1000 end

  -- How many of those who come now a gate lets pass.
  local function spare(gate)
    if gate.kind == 'pause' then return 0 end
    local state = state_of(gate)
    if gate.kind == 'slots' then return math.max(0, gate.value - state.used) end
    if at < state.tat then return 0 end
    return math.min(AT_ONCE, math.floor((at - math.max(state.tat, at - keeper.slack(gate.value))) / gate.value) + 1)
  end

  local function refusal(task)
    for _, gate in ipairs(gates_of(task)) do
      if spare(gate) < 1 then return gate end
    end
  end

  local function room_of(task)
    local names = {}
    for _, gate in ipairs(own_gates(task)) do names[#names + 1] = gate.id end
    return #names > 0 and table.concat(names, ',') or 'task/' .. task.name
  end

  local function room(name)
    if not rooms[name] then rooms[name] = {count = try('ZCARD', key.waiting(name)) or 0} end
    return rooms[name]
  end

  -- A late start is made up for, as long as it was not too late: else no rate could be held exactly.
  function keeper.slack(interval) return math.max(0.25, math.min(interval, 1)) end

  -- Whether a task at the head of its list has to wait: its room and the gate, or only its room where others wait before it;
  -- which a tenant's task passes by that has its turn and no gate.
  function keeper.stop(task)
    local name = room_of(task)
    if task.pass ~= name and room(name).count > 0 and not (task.fair and #gates_of(task) == 0) then return {room = name} end
    local gate = refusal(task)
    return gate and {room = name, gate = gate} or nil
  end

  -- The key of another program that is in the way of what is to be written for a task; nil if there is none.
  function keeper.obstacle(task)
    local name = room_of(task)
    local kinds_of = {[key.waiting(name)] = 'zset', [key.room(name)] = 'hash', [key.gates()] = 'zset'}
    for _, gate in ipairs(gates_of(task)) do
      kinds_of[key.rooms(gate.id)] = 'zset'
      if gate.kind == 'rate' then kinds_of[key.gate(gate.id)] = 'hash' end
      if gate.kind == 'slots' then kinds_of[key.slots(gate.id)] = 'zset' end
    end
    for where, kind in pairs(kinds_of) do
      if not is_ours(where, kind) then return where end
    end
  end

  -- Counts a task as passed, before anything is written.
  function keeper.count_in(task)
    task.stood_at = gates_of(task)
    for _, gate in ipairs(task.stood_at) do
      local state = state_of(gate)
      if gate.kind == 'slots' then
        state.used = state.used + 1
      elseif gate.kind == 'rate' then
        local is_awaited = task.pass or try('EXISTS', key.rooms(gate.id)) == 1
        state.tat = math.max(state.tat, is_awaited and at - keeper.slack(gate.value) or at) + gate.value
      end
    end
  end

  -- Counts a task as stopped, before anything is written.
  function keeper.count_out(stopped) room(stopped.room).count = room(stopped.room).count + 1 end

  -- ---- What writes

  local function look_later(gate, when_to)
    if gate.kind ~= 'pause' and is_ours(key.gates(), 'zset') then note_time(key.gates(), gate.id, when_to) end
  end

  local function register(name, gate)
    try('ZADD', key.rooms(gate.id), 'NX', stamp(at), name)
    if gate.kind ~= 'rate' then return look_later(gate, at + RECHECK) end
    local state = state_of(gate)
    if state.is_earlier then note_tat(gate.id, state.tat) end
    look_later(gate, opening(math.max(state.tat, at)))
  end

  -- The first of a room who still waits: id and task.
  local function first_of(name)
    for _ = 1, LONGEST do
      local id = (try('ZRANGE', key.waiting(name), 0, 0) or {})[1]
      if not id then return nil end
      local task = whole(id, 'lane', 'gates', 'place', 'fair')
      if task and task.status == 'WAITING' then return id, task end
      try('ZREM', key.waiting(name), id)
    end
  end

  -- One takes a place in a room that was looked through from its first place up to another one, see `followers`: nobody who
  -- comes before is passed over. How far it is looked through now.
  local function look_from(name, place, sought)
    local from, ids = string.match(sought or '', '^(%S+)( .*)$')
    if not from or tonumber(place) >= tonumber(from) then return sought end
    try('HSET', key.room(name), 'sought', place .. ids)
    return place .. ids
  end

  -- Who goes before whom in a room: who has the higher priority; among these tenants take turns, as in a list, those without
  -- one together as one of them. A tenant comes into the round behind the last one that was put forward, or behind its own
  -- last place. So without tenants it is who came first.
  local TIES, places = 512, {}

  local function place_in(name, task)
    local priority = lane_of(task.lane) or NORMAL_PRIORITY
    local mine, known = priority .. '/' .. (task.fair or ''), places[name] or {}
    places[name] = known
    if not known[mine] then
      local found = try('HMGET', key.room(name), 'seq', 'round/' .. priority, 'last/' .. mine, 'sought') or {}
      local round, last, many = tonumber(found[2] or nil), string.match(found[3] or '', '^(%d+):?(%d*)$')
      known.seq, known.sought = known.seq or tonumber(found[1] or nil) or 0, known.sought or found[4]
      if not round then
        round = known.seq
        try('HSET', key.room(name), 'round/' .. priority, string.format('%.0f', round))
      end
      known[mine] = {round = math.max(round, tonumber(last or 0)), many = tonumber(many or 0) or 1}
    end
    local turn, before = known[mine], known.seq
    turn.round, turn.many, known.seq = turn.round + 1, turn.many + 1, before + 1
    try('HSET', key.room(name), 'seq', string.format('%.0f', known.seq), 'last/' .. mine,
      string.format(task.fair and '%.0f:%.0f' or '%.0f', turn.round, turn.many))
    local place = string.format('%.17g', (9 - priority) * PART + turn.round + before % TIES / TIES)
    known.sought = look_from(name, place, known.sought)
    return place
  end

  -- The round of a room that one belongs to who is put forward: the field in which it stands, and its number.
  local function round_of_place(name, task)
    local priority, turn = count_place(name, task, -1)
    return 'round/' .. priority, turn
  end

  -- Of a room those are in front who were put forward and are not taken: `out`, the last one, `beside` it the last ones in other
  -- lists, and those that were put forward `along` with it. To a list in which one of them stands nobody else is put forward:
  -- he would come before him. In order those who are still in line, and their lists. Who was deleted, or stands so deep in a
  -- list that it is none of its next ones, is not waited for.
  local function in_front(name, ids)
    local leaders, shut, met = {}, {}, {}
    for id in string.gmatch(ids, '%S+') do
      local task = not met[id] and whole(id, 'lane', 'pass')
      local ready = task and task.status == 'PENDING' and task.pass == name and line(task.queue, task.lane)
      if ready and (led_now[id] or try('LPOS', ready, id, 'RANK', -1, 'MAXLEN', DEEP)) then
        leaders[#leaders + 1] = id
        shut[ready] = true
      end
      met[id] = true
    end
    return leaders, shut
  end

  local function note_leaders(name, leaders, out_at, along)
    try('HSET', key.room(name), 'out', leaders[#leaders], 'out_at', stamp(out_at), 'beside',
      table.concat(leaders, ' ', 1, #leaders - 1), 'along', along)
  end

  -- Tells one after the other who of a room follows; where some are in front, of those who go to none of their lists. For these
  -- a call looks at so many, and the next one goes on from there: `sought` is the place before which there are none, and the
  -- leaders with whom that holds.
  local function followers(name, leaders, shut)
    if #leaders == 0 then return function() return first_of(name) end end
    local from, ids = string.match(try('HGET', key.room(name), 'sought') or '', '^(%S+) (.*)$')
    local words, met = ' ' .. table.concat(leaders, ' ') .. ' ', 0
    for id in string.gmatch(ids or '', '%S+') do
      if not string.find(words, ' ' .. id .. ' ', 1, true) then from = nil end
    end
    local waiting = try('ZRANGEBYSCORE', key.waiting(name), from or '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, SIGHT) or {}
    return function()
      local task = nil
      while met < #waiting and not task do
        local id = waiting[met + 1]
        local found = fields(id, 'status', 'queue', 'lane')
        if found and found[1] == 'WAITING' and found[2] and not shut[line(found[2], found[3])] then
          task = whole(id, 'lane', 'gates', 'place', 'fair')
        end
        met = met + 2
      end
      if met > 0 then try('HSET', key.room(name), 'sought', waiting[met] .. words) end
      return task and task.id, task
    end
  end

  -- Puts forward as many of a room as may pass; where the first may not, the room waits at the gate that says so. Where nothing
  -- limits them any more, those of tenants come to their turns again. How many that were; nil if nobody may follow as long as
  -- those of `ids` are in front.
  local function advance(name, ids)
    places[name] = nil
    local leaders, shut = in_front(name, ids)
    local before, follow = #leaders, followers(name, leaders, shut)
    local id, task = follow()
    if before == 0 then
      try('HDEL', key.room(name), 'out', 'beside', 'along', 'sought')
    elseif not id then
      return note_leaders(name, leaders, at, '')
    end
    if not id then
      if is_ours(key.room(name), 'hash') then redis.call('DEL', key.room(name)) end
      return 0
    end
    local most, gate, stood_at = AT_ONCE, nil, gates_of(task)
    for _, one in ipairs(stood_at) do
      local left = spare(one)
      if left < most then most, gate = left, one end
    end
    local first, moved, along, count = task, {}, {}, 0
    -- Where another program has taken the key of a list, it is looked at again, as if the name had been paused.
    while id and count < most and not no_line(task.queue, task.lane) do
      try('ZREM', key.waiting(name), id)
      if #stood_at == 0 and task.fair and task.lane ~= 'quarantine' then
        try('HSET', key.room(name), round_of_place(name, task))
        redis.call('HDEL', key.task(id), 'room', 'place')
        come(id, task.queue, task.lane, task.fair, at)
      else
        redis.call('HSET', key.task(id), 'pass', name)
        redis.call('HDEL', key.task(id), 'room')
        try('HSET', key.room(name), 'out', id, 'out_at', stamp(at), round_of_place(name, task))
        moved[#moved + 1] = {id, task}
      end
      count = count + 1
      id, task = follow()
    end
    -- The last that is put at the head is the next one to be taken.
    for i = #moved, 1, -1 do
      local one, whose = moved[i][1], moved[i][2]
      local ready = line(whose.queue, whose.lane)
      make_ready(one, whose.queue, whose.lane, 'RPUSH', at)
      led_now[one] = true
      if not shut[ready] then table.insert(leaders, before + 1, one) end
      if i < #moved then table.insert(along, 1, one) end
      shut[ready] = true
    end
    if before > 0 or #moved > 1 then note_leaders(name, leaders, #moved > 0 and at or 0, table.concat(along, ' ')) end
    for _, one in ipairs(stood_at) do
      local state = state_of(one)
      if one.kind == 'slots' then state.used = state.used + #moved end
      if one.kind == 'rate' then state.tat = state.tat + #moved * one.value end
    end
    -- Who waits stands at a gate: if nothing else brings the room on, the gate's next look does.
    local line_gate = {kind = 'line', id = 'pause/' .. first.name}
    if id or before > 0 then register(name, id and count < most and line_gate or gate or stood_at[1] or line_gate) end
    -- Of those who came to their turns nobody brings the others on.
    if id and count > #moved and is_ours(key.gates(), 'zset') then note_time(key.gates(), line_gate.id, at) end
    if not id and #moved == 0 and before == 0 and is_ours(key.room(name), 'hash') then redis.call('DEL', key.room(name)) end
    return count
  end

  -- One who was put forward is no longer there. If it is taken, so are those who were put forward along with it.
  function keeper.lose(id, name, is_taken)
    local known = try('HMGET', key.room(name), 'out', 'beside', 'along') or {}
    local along = not is_taken and known[3] or ''
    local ids = (known[2] or '') .. ' ' .. along
    if known[1] == id then
      advance(name, ids)
    elseif along ~= '' then
      try('HSET', key.room(name), 'beside', ids, 'along', '')
    end
  end

  -- The same, but whoever follows does so when the gate is looked at next.
  function keeper.drop(id, name)
    local _, task = first_of(name)
    if not task or try('HGET', key.room(name), 'out') ~= id then return keeper.lose(id, name) end
    local gate = gates_of(task)[1] or {kind = 'line', id = 'pause/' .. task.name}
    try('HDEL', key.room(name), 'out')
    try('ZADD', key.rooms(gate.id), 'NX', stamp(at), name)
    look_later(gate, at + RECHECK)
  end

  -- A gate may have opened: the first room there goes on that nobody in front keeps back. How many of it, or false.
  function keeper.wake(gate_id)
    local held_back, moved = {}, false
    for _ = 1, LONGEST do
      local name = (try('ZRANGE', key.rooms(gate_id), 0, 0) or {})[1]
      if not name then break end
      try('ZREM', key.rooms(gate_id), name)
      local known = try('HMGET', key.room(name), 'out', 'out_at', 'beside', 'along') or {}
      local out = known[1] and fields(known[1], 'status', 'pass')
      local is_out = out and out[1] == 'PENDING' and out[2] == name
      -- Who was put forward and is not taken for so long, perhaps as its queue is paused, keeps back no other list.
      local is_near = is_out and math.abs(at - (tonumber(known[2] or nil) or 0)) < RECHECK
      local ids = (known[3] or '') .. ' ' .. (known[4] or '') .. ' ' .. (is_out and known[1] or '')
      local count = not is_near and advance(name, ids)
      if not count then
        held_back[#held_back + 1] = name
      elseif count > 0 then
        moved = count
        break
      elseif try('ZSCORE', key.rooms(gate_id), name) then
        break
      end
    end
    for _, name in ipairs(held_back) do try('ZADD', key.rooms(gate_id), 'NX', stamp(at), name) end
    if redis.call('EXISTS', key.rooms(gate_id)) == 0 then try('ZREM', key.gates(), gate_id) end
    return moved
  end

  -- When a rate allows the next start: its note, as far as the limit that holds now can have made it so late.
  function keeper.next_start(gate_id)
    local tat = tonumber(try('HGET', key.gate(gate_id), 'tat') or nil) or 0
    local task
    for _ = 1, LONGEST do
      local name = tat > at and not task and (try('ZRANGE', key.rooms(gate_id), 0, 0) or {})[1]
      if not name then break end
      task = select(2, first_of(name))
      if not task then try('ZREM', key.rooms(gate_id), name) end
    end
    if not task then return opening(tat) end
    local value
    for _, gate in ipairs(gates_of(task)) do
      if gate.id == gate_id then value = gate.value end
    end
    if tat <= at + (value or 0) then return opening(tat) end
    tat = value and at + value or at
    note_tat(gate_id, tat)
    return opening(tat)
  end

  -- A task has passed: it takes its slots, and the next one of its room may follow. The names of its slots, '' for none.
  function keeper.enter(id, task)
    local held = {}
    for _, gate in ipairs(task.stood_at) do
      if gate.kind == 'slots' then
        try('ZADD', key.slots(gate.id), stamp(at), id)
        held[#held + 1] = gate.id
      elseif gate.kind == 'rate' then
        local tat = state_of(gate).tat
        note_tat(gate.id, tat)
        try('EXPIRE', key.gate(gate.id), math.ceil(tat - at) + 60)
        if try('EXISTS', key.rooms(gate.id)) == 1 then look_later(gate, opening(math.max(tat, at))) end
      end
    end
    if task.pass then
      redis.call('HDEL', key.task(id), 'pass', 'place')
      keeper.lose(id, task.pass, true)
    end
    return table.concat(held, ' ')
  end

  -- A task has to wait. One that was put forward takes its old place again.
  function keeper.hold(id, task, stopped)
    local name = stopped.room
    local place = tonumber(task.place or nil) and task.place
    if place then count_place(name, task, 1) else place = place_in(name, task) end
    try('ZADD', key.waiting(name), place, id)
    redis.call('HSET', key.task(id), 'status', 'WAITING', 'room', name, 'place', place, 'more', 1,
      'updated_at', stamp(at))
    emit(id, 'waiting', ',"status":"WAITING","room":"' .. name .. '","at":' .. when(at) .. '}')
    if task.pass then
      local known = try('HMGET', key.room(name), 'out', 'sought') or {}
      redis.call('HDEL', key.task(id), 'pass')
      if known[1] == id then try('HDEL', key.room(name), 'out') end
      look_from(name, place, known[2])
      places[name] = nil
    end
    if stopped.gate then register(name, stopped.gate) end
  end

  -- A queue may give something again: one of those who wait for it looks, and one of its quarantine.
  function keeper.ring_queue(queue)
    local bells = {key.bell(queue)}
    if redis.call('EXISTS', key.quarantine(queue)) == 1 then bells[2] = key.quarantine_bell(queue) end
    for _, bell in ipairs(bells) do
      if (length(bell) or BELL_CAP) < BELL_CAP then sizes[bell] = redis.call('LPUSH', bell, '1') end
    end
  end

  -- The run of a task is over: what it had taken is free.
  function keeper.leave(id, held)
    for gate_id in string.gmatch(held, '%S+') do
      local state, freed = states[gate_id], try('ZREM', key.slots(gate_id), id) or 0
      if state and state.used then state.used = state.used - freed end
      local queue = string.match(gate_id, '^queue/(.*)$')
      if queue then
        keeper.ring_queue(queue)
      else
        keeper.wake(gate_id)
      end
    end
    redis.call('HDEL', key.task(id), 'slots')
  end

  return keeper
end

local function is_unbegun(status)
  return status == 'PENDING' or status == 'SCHEDULED' or status == 'RETRYING' or status == 'WAITING'
end

-- Takes a task that has not begun out of the place that its state names.
local function leave_wait(id, task)
  if task.status == 'PENDING' then leave_line(id, task.queue, task.lane)
  elseif task.status == 'WAITING' then
    take_out(key.waiting(task.room or ''), id)
    if is_turn(task.room) then note_turns(task.room)
    elseif task.room then count_place(task.room, task, -1)
    end
  else
    take_out(key.delayed(), id)
  end
end

-- Of tasks that have left a list before they have run, those who had been put forward let the next ones of their rooms go on. Only
-- when all have: the next one may be among them. Where whole lists are taken away, who follows does so `later`, when the
-- gate is looked at next: at once it would come to where others are just being taken.
local function let_others_pass(ended, at, later)
  local keeper = nil
  for _, one in ipairs(ended) do
    if is_turn(one[2].pass) then
      give_turn(one[1], one[2].pass, at)
    elseif one[2].pass then
      keeper = keeper or gatekeeper(at)
      keeper[later and 'drop' or 'lose'](one[1], one[2].pass)
    end
  end
end

-- Wakes all who wait for a queue, and for its quarantine.
local function ring_all(queue)
  local bells = {key.bell(queue)}
  if redis.call('EXISTS', key.quarantine(queue)) == 1 then bells[2] = key.quarantine_bell(queue) end
  for _, bell in ipairs(bells) do
    for _ = (length(bell) or BELL_CAP) + 1, BELL_CAP do sizes[bell] = redis.call('LPUSH', bell, '1') end
  end
end

-- Since when a task counts as waiting that a claim may take: it came to be ready then. nil for what a claim throws out or
-- passes by. Given the list that its tenant has it in line for, nil also if it is not.
local function counted_since(id, at, ending)
  local task = fields(id, 'created_at', 'status', 'expires', 'since', 'pass')
  if not task or task[2] ~= 'PENDING' or (tonumber(task[3] or nil) or math.huge) <= at then return nil end
  if ending and ending ~= string.gsub(task[5] or '', TURN, '%1:%2') then return nil end
  return tonumber(string.match(task[4] or task[1], '^%d+%.?%d*$') or nil)
end

-- Since when the first to have come waits of those in line in a list: the next one, or one who had waited for its tenant's
-- turn before it came to the tail. What a claim throws out or passes by does not count; where there is nothing else
-- for as far as this looks, the list comes first, to be cleared, and a key of another program last.
local function waits_since(ready, at)
  local DEPTH, first = 20, nil
  for place = 1, DEPTH do
    local id = redis.pcall('LINDEX', ready, -place)
    if type(id) == 'table' then return math.huge end
    first = id and counted_since(id, at)
    if first or not id then break end
  end
  local ending = ending_of(ready)
  local elders = key.elders(ending)
  for _ = 1, DEPTH do
    local id = redis.pcall('ZRANGE', elders, 0, 0)[1]
    if not id then break end
    local since = counted_since(id, at, ending)
    if since then return math.min(first or since, since) end
    redis.call('ZREM', elders, id)
  end
  return first or -math.huge
end

-- Puts the lists of a queue with ageing, which begin at `first`, into order: a task of priority p counts as if it had come
-- p ninths of `ageing` seconds earlier.
local function order_by_age(lists, first, ageing, at)
  local own = {}
  for i = first, #lists do
    local list = lists[i]
    list.rank = i
    list.came = waits_since(list.ready, at) - (tonumber(list.priority) or NORMAL_PRIORITY) * ageing / 9
    own[#own + 1] = list
  end
  table.sort(own, function(a, b)
    if a.came ~= b.came then return a.came < b.came end
    return a.rank < b.rank
  end)
  for i, list in ipairs(own) do lists[first + i - 1] = list end
end

-- What is ready among these ids, the last of a ready list, from its head on; and of tenants whose front is among them, those who
-- come up behind it, as far as they fit into `most` and the list ends with these ids: {id, task} each. They leave the list with
-- `round`; `pass` stays with those that were put forward by a limit.
local function next_of_list(ready, ids, round, most)
  local found, is_whole = {}, #ids < most
  local function add(id, room)
    local task = whole(id, 'lane', 'more')
    if task then add_more(id, task, 'expires', 'tags', 'pass', 'fair') end
    local turn = room or task and is_turn(task.pass) and task.pass
    if turn then round.leave(id, turn, room ~= nil) end
    local lost = not task and not room and room_of_lost(id, ready)
    if lost then round.miss(lost) end
    if turn and task then task.pass = nil end
    if task and (task.status == 'PENDING' or room) then found[#found + 1] = {id, task} end
  end
  for i = #ids, 1, -1 do add(ids[i]) end
  while is_whole and #found < most and round.ahead() do add(round.ahead()) end
  return found
end

-- Where a claim looks, in order: the lists of each queue, the one of normal priority among the others by its rank, or all of
-- them by age; with what holds for the queue, set by an operator or else by the code: whether it is paused, how many of its
-- tasks may run at once, and its ageing. Also whether an operator has set anything at all. KEYS as claim has them, `width`
-- for each queue.
local function lists_of(width, is_quarantine, at)
  local lists = {}
  local is_any_set = redis.call('EXISTS', key.controls(), key.queue_settings()) > 0
  local has_controls = is_any_set and redis.call('EXISTS', key.controls()) == 1 and is_ours(key.controls(), 'hash')
  local has_settings = is_any_set and is_ours(key.queue_settings(), 'hash')
  local function add(queue, list, priority) lists[#lists + 1] = {ready = list, queue = queue, priority = priority} end
  local function look_at_controls(queue, ready)
    local name = string.sub(ready, #(is_quarantine and key.quarantine('') or key.queue('')) + 1)
    local found = has_controls and redis.call('HMGET', key.controls(), 'pause-queue/' .. name, 'queue/' .. name,
      'ageing/' .. name) or {}
    local of_code = has_settings and redis.call('HGET', key.queue_settings(), name) or ''
    local slots, ageing = string.match(of_code .. ' ', '^(%d*):([%d.]*) ')
    queue.gate, queue.limit, ageing = 'queue/' .. name, tonumber(found[2] or slots), tonumber(found[3] or ageing)
    if ageing and ageing > 0 and ageing < 1e9 then queue.ageing = ageing end
    if queue.limit then queue.limit = queue.limit - redis.call('ZCARD', key.slots(queue.gate)) end
    if found[1] then queue.limit = 0 end
  end

  for i = 4, #KEYS, width do
    local ready, queue, priorities = KEYS[i], {bell = KEYS[i + 1]}, not is_quarantine and KEYS[i + 2]
    local is_normal_in, first = false, #lists + 1
    if is_any_set then look_at_controls(queue, ready) end
    if priorities and redis.call('EXISTS', priorities) == 1 and is_ours(priorities, 'zset') then
      queue.priorities = priorities
      local name = string.sub(priorities, #key.priorities('') + 1)
      for _, found in ipairs(redis.call('ZREVRANGE', priorities, 0, -1)) do
        local priority = lane_of(found)
        if not is_normal_in and priority and tonumber(priority) < NORMAL_PRIORITY then
          add(queue, ready)
          is_normal_in = true
        end
        if priority then add(queue, key.priority(priority .. ':' .. name), priority) end
      end
    end
    if not is_normal_in then add(queue, ready) end
    if queue.ageing and #lists > first then order_by_age(lists, first, queue.ageing, at) end
    lists[#lists].is_last = true
  end
  return lists, has_controls
end

-- The run of a task is over that has more than others: what it had taken is free. One that was cancelled meanwhile is kept
-- from now on for as long as a result is.
local function close_run(id, at)
  local found = redis.call('HMGET', key.task(id), 'slots', 'keep')
  if found[1] then gatekeeper(at).leave(id, found[1]) end
  if found[2] then
    redis.pcall('PEXPIRE', key.task(id), found[2])
    redis.call('HDEL', key.task(id), 'keep')
    end_unique(id)
  end
end

-- ---- Dead letters by parts of their list

-- Those of a part of the list that are as asked for. A walk begins at the old end, to which nothing is added, and leaves
-- behind what is not asked for. ARGV from `first`: how many ids lie behind, the newest of these, the most to look at and to
-- find; then, '' for whatever: name, queue, class of the error, failed not before and not after, when the walk began; then the
-- only ids that are meant, if not all are. What has failed since it began is not meant; but where that is still to come, the
-- clock has been set back since. Where others have taken away what lies behind, its newest id tells by how much; if that is
-- gone, too, the walk looks at all of it again. With `before`, what was answered to this very request.
local function part_of_letters(dead_letter, forgotten, first)
  local part = {ids = {}}
  local answer = redis.call('GET', forgotten)
  if answer then
    local done, looked, behind, front, ids, newest = string.match(answer, '^(%d+) (%d+) (%d+) (%d+) (%S*) (.*)$')
    part.before = {tonumber(done), tonumber(looked), tonumber(behind), tonumber(front), ids, newest}
    return part
  end
  local behind, newest, most_looks, most = tonumber(ARGV[first]), ARGV[first + 1], tonumber(ARGV[first + 2]), tonumber(ARGV[first + 3])
  local name, queue, class, since, till, begun = unpack(ARGV, first + 4, first + 9)
  local only = #ARGV > first + 9 and {}
  for i = first + 10, #ARGV do only[ARGV[i]] = true end

  local size = redis.call('LLEN', dead_letter)
  if behind > 0 and redis.call('LINDEX', dead_letter, -behind) ~= newest then
    local place = redis.call('LPOS', dead_letter, newest, 'RANK', -1, 'MAXLEN', behind)
    behind = place and size - place or 0
    if behind == 0 then newest = '' end
  end

  local function is_of_class(id)
    local found = string.match(redis.call('HGET', key.task(id), 'error') or '', '^{"type":"([^"]*)"')
    return found and (found == class or string.sub(found, -#class - 1) == '.' .. class)
  end

  local earlier, later, at = 0, 0, now()
  local function is_asked_for(id)
    local task = fields(id, 'status', 'name', 'queue', 'updated_at')
    if not task or task[1] ~= 'FAILED' then return false end
    local failed = tonumber(task[4] or nil) or 0
    if (till ~= '' and failed > tonumber(till)) or (begun ~= '' and failed > tonumber(begun) and failed <= at) then
      later = later + 1
      return false
    end
    earlier = earlier + 1
    if since ~= '' and failed < tonumber(since) then return false end
    return (name == '' or task[2] == name) and (queue == '' or task[3] == queue) and (class == '' or is_of_class(id))
  end

  local ids = behind < size and redis.call('LRANGE', dead_letter, -(behind + most_looks), -(behind + 1)) or {}
  local places, looked = {}, 0
  for i = #ids, 1, -1 do
    local id = ids[i]
    if #part.ids == most then break end
    looked = looked + 1
    if not places[id] and (not only or only[id]) and is_asked_for(id) then
      places[id] = -(behind + looked)
      part.ids[#part.ids + 1] = id
    end
  end

  -- Takes these of the part, {id, …} each, out of the list, and tells what is left of it. What is taken is marked first: looked
  -- for one by one, each would cost a walk over all that lies behind.
  function part.take(tasks)
    local mark, is_taken, taken = ' ' .. forgotten, {}, {}
    for i, one in ipairs(tasks) do taken[i] = one[1] end
    if #taken > 0 then redis.call('LTRIM', dead_letter, 0, -1) end  -- a full Redis does not refuse it
    for _, id in ipairs(taken) do
      redis.call('LSET', dead_letter, places[id], mark)
      is_taken[places[id]] = true
    end
    local front = size - behind - looked
    if #taken > 0 then redis.call('LREM', dead_letter, front < behind and #taken or -#taken, mark) end
    for i = #ids - looked + 1, #ids do
      if not is_taken[-(behind + #ids - i + 1)] then
        newest = ids[i]
        break
      end
    end
    behind = behind + looked - #taken
    -- They are in the order in which they failed, but for what a doctor has put there: behind so many that failed later there
    -- is none that did not.
    if earlier == 0 and later >= 100 then front = 0 end
    local answered = {#taken, looked, behind, front, only and table.concat(taken, ',') or '', newest}
    if #taken > 0 then redis.call('SET', forgotten, table.concat(answered, ' '), 'EX', 60) end
    return answered
  end

  return part
end

-- ---- What locate and repair share

-- A task as it stands: its state ('' = there is none, 'INCOMPLETE' = no whole task, with the fault), its home, the keys of
-- its own ready list and of the claimed hash that rightly has it, and whether its life is 'forever' or 'expiring' wrongly.
-- A cancelled task is claimed until its run is over, and kept so long.
local function examine(id, workers)
  if redis.call('EXISTS', key.task(id)) == 0 then return {state = ''} end
  local task, fault = whole(id, 'args', 'kwargs', 'worker', 'lane', 'due', 'room')
  if not task then return {state = 'INCOMPLETE', fault = fault} end
  local ready = line(task.queue, task.lane)
  local found = {state = task.status, queue = task.queue, lane = task.lane, due = tonumber(task.due or nil), ready = ready}
  local may_be_claimed = task.status == 'RUNNING' or task.status == 'CANCELLED'
  local claimed = may_be_claimed and task.worker and redis.call('ZSCORE', workers, task.worker) and key.claimed(task.worker)
  if claimed and redis.call('TYPE', claimed).ok == 'hash' and redis.call('HGET', claimed, id) == task.token then
    found.claimed = claimed
  end
  found.home = HOMES[task.status]
  if task.status == 'WAITING' and task.room and is_ours(key.waiting(task.room), 'zset') then
    found.waiting = key.waiting(task.room)
  end
  if task.status == 'CANCELLED' and found.claimed then found.home = 'claimed' end
  local expires = redis.call('PTTL', key.task(id)) >= 0
  if expires ~= (found.home == '') then found.life = expires and 'expiring' or 'forever' end
  return found
end

-- The places that hold a task or might: {name, key, kind, how often it holds the id}; KEYS and names as locate has them.
local function places_of(id, task, names)
  local found = {}
  local function look(name, where, kind)
    local there, times = redis.call('TYPE', where).ok, 0
    local is_of_others = kind ~= nil and there ~= kind and there ~= 'none'
    if is_of_others then times = 0
    elseif there == 'list' then times = #redis.call('LPOS', where, id, 'COUNT', 0)
    elseif there == 'zset' then times = redis.call('ZSCORE', where, id) and 1 or 0
    elseif there == 'hash' then times = redis.call('HEXISTS', where, id)
    end
    found[#found + 1] = {name = name, key = where, kind = there, times = times, is_of_others = is_of_others}
  end
  if task.ready then look('ready', task.ready, 'list') end
  look('delayed', KEYS[2], 'zset')
  if task.waiting then look('waiting', task.waiting, 'zset') end
  if task.claimed then look('claimed', task.claimed) end
  look('dead', KEYS[3], 'list')
  for i = 5, #KEYS do
    if KEYS[i] ~= task.ready and KEYS[i] ~= task.claimed and KEYS[i] ~= task.waiting then look(names[i - 4], KEYS[i]) end
  end
  return found
end

-- ---- Locks. Their facts have 'fence', the last token that was given, and of each who waits 'limit end-of-its-place
-- renewed' (an earlier version leaves out when it was renewed), of each who holds 'limit since token owner'

local FACT = '^(%d+) ([%d.]+)'

-- Seconds for which a lock is remembered after its last use. Its next token is larger than the last one even if Redis's clock
-- was set back by as much.
local LOCK_KEPT = 3600

local function keep_lock(where, seconds)
  local ms = (seconds + LOCK_KEPT) * 1000
  if redis.call('PTTL', where) < ms then redis.call('PEXPIRE', where, string.format('%.0f', ms)) end
end

-- Walks a line from its head, to one who is asked for, or until it has met so many who wait: them, and those whose place
-- has ended.
local function walk_line(line, facts, at, most, sought)
  local waiting, gone, start, WIDTH = {}, {}, 0, 100
  while #waiting < most do
    local ids = redis.call('ZRANGE', line, start, start + WIDTH - 1)
    local told = #ids > 0 and redis.call('HMGET', facts, unpack(ids))
    for i, id in ipairs(ids) do
      if id == sought or #waiting == most then return waiting, gone end
      local limit, place_end, renewed = string.match(told[i] or '', FACT .. ' ?([%d.]*)')
      if (tonumber(place_end) or 0) > at then
        -- What was renewed later than now is of before the clock was set back. It counts when it is renewed again, in the
        -- same place; who has died does not.
        if (tonumber(renewed) or 0) <= at then
          waiting[#waiting + 1] = {id = id, limit = tonumber(limit), place_end = tonumber(place_end)}
        end
      else
        gone[#gone + 1] = id
      end
    end
    if #ids < WIDTH then break end
    start = start + WIDTH
  end
  return waiting, gone
end

-- Rings for the one who is next but for some in a line.
local function ring_waiter(line, facts, at, before)
  local waiting = walk_line(line, facts, at, before + 1)
  local following = waiting[before + 1]
  if following and length(key.lock_bell(following.id)) == 0 then
    redis.call('LPUSH', key.lock_bell(following.id), '1')
    redis.call('PEXPIRE', key.lock_bell(following.id), 60000)
  end
end
