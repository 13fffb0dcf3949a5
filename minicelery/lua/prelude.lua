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
