-- Shared by every script: the clock, the keys (generated from keys.py above this text), and the moves
-- that several transitions have in common. ARGV[1] is always the key prefix of the namespace.

local BELL_CAP = 100
-- Seconds for which the numbers of claims outlive their worker: a claim that is on its way for longer is lost anyway.
local CLAIMS_KEPT = 3600

-- Whole milliseconds, so that all that is derived from one call agrees however it is written.
local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + math.floor(tonumber(t[2]) / 1000) / 1000
end

-- Seconds with milliseconds. tostring() would keep 14 digits only.
local function stamp(seconds) return string.format('%.3f', seconds) end

-- The same for people: RFC 3339 in UTC, as JSON. Civil from days after Howard Hinnant, "chrono-Compatible Low-Level Date
-- Algorithms".
local function when(seconds)
  local ms = math.floor(seconds * 1000 + 0.5)
  local day, rest = math.floor(ms / 86400000) + 719468, ms % 86400000
  local era = math.floor(day / 146097)
  local doe = day - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local m = math.floor((5 * doy + 2) / 153)
  local month = m < 10 and m + 3 or m - 9
  return string.format('"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"', yoe + era * 400 + (month <= 2 and 1 or 0), month,
    doy - math.floor((153 * m + 2) / 5) + 1, math.floor(rest / 3600000), math.floor(rest / 60000) % 60,
    math.floor(rest / 1000) % 60, rest % 1000)
end

-- Redis that has reached its memory limit refuses a script whose first write may enlarge it. Whatever gives
-- memory back, or keeps a promise already made, starts with this write, which Redis never refuses.
local function pass_full_memory(zset) redis.call('ZREM', zset, '') end

-- `data` is JSON. Ids, states and queue names are checked at the door, so they need no escaping.
local function emit(id, event, data)
  redis.call('PUBLISH', key.events(id), '{"event":"' .. event .. '","data":' .. data .. '}')
end

local rung = {}

-- Into the ready list of its queue, or into the queue's quarantine if that is the task's lane: at the tail ('LPUSH'), or
-- at the head ('RPUSH') what was already claimed once.
local function make_ready(id, queue, lane, push, at)
  local quarantined = lane == 'quarantine'
  redis.call('HSET', key.task(id), 'status', 'PENDING', 'updated_at', stamp(at))
  redis.call(push, quarantined and key.quarantine(queue) or key.queue(queue), id)
  emit(id, 'queued', '{"task_id":"' .. id .. '","status":"PENDING","queue":"' .. queue .. '","at":' .. when(at) .. '}')
  local bell = quarantined and key.quarantine_bell(queue) or key.bell(queue)
  rung[bell] = (rung[bell] or 0) + 1
end

-- Rings for all that the script has made ready.
local function ring()
  for bell, times in pairs(rung) do
    for _ = 1, math.min(times, BELL_CAP - redis.call('LLEN', bell)) do redis.call('LPUSH', bell, 1) end
  end
end

-- Into the delayed set. If it is now the next one due, every waiting upkeep is told.
local function delay(id, due)
  redis.call('ZADD', key.delayed(), stamp(due), id)
  if redis.call('ZRANGE', key.delayed(), 0, 0)[1] == id then redis.call('PUBLISH', key.alarm(), stamp(due)) end
end

-- Fields of a task, or nil where there is no task hash at the key.
local function fields(id, ...)
  local values = redis.pcall('HMGET', key.task(id), ...)
  if values.err or not values[1] then return nil end
  return values
end

-- ---- What locate and repair share

local NAME, COUNT, TIME = '^[%w_.:-]+$', '^%d+$', '^%d+%.?%d*$'
local NEEDED = {{'id', NAME}, {'name', NAME}, {'queue', NAME}, {'status', '^%u+$'}, {'retry_count', COUNT},
  {'max_retries', COUNT}, {'created_at', TIME}, {'updated_at', TIME}}
local COUNTERS = {'deliveries', 'crashes', 'solo_crashes', 'released'}
local HOMES = {PENDING = 'ready', SCHEDULED = 'delayed', RETRYING = 'delayed', RUNNING = 'claimed', FAILED = 'dead', SUCCESS = ''}

-- The field that makes a hash no whole task, as no script of ours has written it; nil for a whole one.
local function fault_of(id, task)
  for _, rule in ipairs(NEEDED) do
    local value = redis.call('HGET', task, rule[1])
    if not value or #value > 128 or not string.find(value, rule[2]) then return rule[1] end
  end
  for _, name in ipairs(COUNTERS) do
    if not string.find(redis.call('HGET', task, name) or '0', COUNT) then return name end
  end
  for _, name in ipairs({'args', 'kwargs'}) do
    if redis.call('HEXISTS', task, name) == 0 then return name end
  end
  if redis.call('HGET', task, 'id') ~= id then return 'id' end
  if key.queue(redis.call('HGET', task, 'queue')) == key.dead_letter() then return 'queue' end
  return not HOMES[redis.call('HGET', task, 'status')] and 'status' or nil
end

-- A task as it stands: its state ('' = there is none, 'INCOMPLETE' = no whole task, with the fault), the keys of its
-- own ready list and of the claimed hash that rightly has it, and whether its life is 'forever' or 'expiring' wrongly.
local function examine(id, workers)
  local task = key.task(id)
  local kind = redis.call('TYPE', task).ok
  if kind == 'none' then return {state = ''} end
  local fault = kind == 'hash' and fault_of(id, task) or kind ~= 'hash' and 'type'
  if fault then return {state = 'INCOMPLETE', fault = fault} end
  local state, queue, lane, token, worker, due = unpack(redis.call('HMGET', task, 'status', 'queue', 'lane', 'token',
    'worker', 'due'))
  local ready = lane == 'quarantine' and key.quarantine(queue) or key.queue(queue)
  local found = {state = state, queue = queue, lane = lane, due = tonumber(due or nil), ready = ready}
  local claimed = state == 'RUNNING' and worker and redis.call('ZSCORE', workers, worker) and key.claimed(worker)
  if claimed and redis.call('TYPE', claimed).ok == 'hash' and redis.call('HGET', claimed, id) == token then
    found.claimed = claimed
  end
  local expires = redis.call('PTTL', task) >= 0
  if expires ~= (state == 'SUCCESS') then found.life = expires and 'expiring' or 'forever' end
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
