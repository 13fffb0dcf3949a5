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

local function emit_queued(id, queue, at)
  emit(id, 'queued', ',"status":"PENDING","queue":"' .. queue .. '","at":' .. when(at) .. '}')
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
  local found = lines[ready] or {push = push, bell = bell, queue = queue, lane = lane}
  lines[ready] = found
  found[#found + 1] = id
end

local function make_ready(id, queue, lane, push, at)
  redis.call('HSET', key.task(id), 'status', 'PENDING', 'updated_at', stamp(at))
  line_up(id, queue, lane, push, at)
end

-- Puts all that the script has made ready into its lists, and rings for it.
local function ring()
  for ready, ids in pairs(lines) do
    call_with_all(ids.push, ready, ids)
    if ids.lane and ids.lane ~= 'quarantine' then redis.call('ZADD', key.priorities(ids.queue), ids.lane, ids.lane) end
    local times = {}
    for i = 1, math.min(#ids, BELL_CAP - length(ids.bell)) do times[i] = '1' end
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

-- ---- Tasks that are over before they have run, and what is kept of unfinished tasks only

local function leave_indexes(id, expires, tags)
  if expires then redis.call('ZREM', key.expiring(), id) end
  for tag in string.gmatch(tags or '', '%S+') do redis.call('ZREM', key.tag(tag), id) end
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
  end
end

-- Ends a task that waits: CANCELLED or EXPIRED, told by an event, and kept for as long as a result is.
local function end_unrun(id, task, status, keep, at)
  redis.call('HSET', key.task(id), 'status', status, 'updated_at', stamp(at))
  redis.call('HDEL', key.task(id), 'due')
  redis.call('PEXPIRE', key.task(id), keep)
  leave_indexes(id, task.expires, task.tags)
  emit(id, string.lower(status), ',"status":"' .. status .. '","retry_count":' .. task.retry_count .. ',"at":'
    .. when(at) .. '}')
end

-- The run of a task that was cancelled meanwhile is over. Now it is kept for as long as a result is.
local function close_cancelled(id)
  local keep = redis.call('HGET', key.task(id), 'keep')
  if keep then
    redis.call('PEXPIRE', key.task(id), keep)
    redis.call('HDEL', key.task(id), 'keep')
  end
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
local HOMES = {PENDING = 'ready', SCHEDULED = 'delayed', RETRYING = 'delayed', RUNNING = 'claimed', FAILED = 'dead',
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
    if further == 'lane' and value and value ~= 'quarantine' and not string.find(value, '^%d$') then return nil, further end
    task[further] = value
  end
  if task.id ~= id then return nil, 'id' end
  if not HOMES[task.status] then return nil, 'status' end
  if line(task.queue) == key.dead_letter() then return nil, 'queue' end
  return task
end

-- ---- What locate and repair share

-- A task as it stands: its state ('' = there is none, 'INCOMPLETE' = no whole task, with the fault), its home, the keys of
-- its own ready list and of the claimed hash that rightly has it, and whether its life is 'forever' or 'expiring' wrongly.
-- A cancelled task is claimed until its run is over, and kept so long.
local function examine(id, workers)
  if redis.call('EXISTS', key.task(id)) == 0 then return {state = ''} end
  local task, fault = whole(id, 'args', 'kwargs', 'worker', 'lane', 'due')
  if not task then return {state = 'INCOMPLETE', fault = fault} end
  local ready = line(task.queue, task.lane)
  local found = {state = task.status, queue = task.queue, lane = task.lane, due = tonumber(task.due or nil), ready = ready}
  local may_be_claimed = task.status == 'RUNNING' or task.status == 'CANCELLED'
  local claimed = may_be_claimed and task.worker and redis.call('ZSCORE', workers, task.worker) and key.claimed(task.worker)
  if claimed and redis.call('TYPE', claimed).ok == 'hash' and redis.call('HGET', claimed, id) == task.token then
    found.claimed = claimed
  end
  found.home = HOMES[task.status]
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
  if task.claimed then look('claimed', task.claimed) end
  look('dead', KEYS[3], 'list')
  for i = 5, #KEYS do
    if KEYS[i] ~= task.ready and KEYS[i] ~= task.claimed then look(names[i - 4], KEYS[i]) end
  end
  return found
end
