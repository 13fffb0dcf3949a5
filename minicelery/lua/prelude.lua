-- Shared by every script: the clock, the keys (generated from keys.py above this text), and the moves
-- that several transitions have in common. ARGV[1] is always the key prefix of the namespace.

local BELL_CAP = 100
-- Seconds for which the numbers of claims outlive their worker: a claim that is on its way for longer is lost anyway.
local CLAIMS_KEPT = 3600

local function now()
  local t = redis.call('TIME')
  return tonumber(t[1]) + tonumber(t[2]) / 1000000
end

-- Seconds with milliseconds. tostring() would keep 14 digits only.
local function stamp(seconds) return string.format('%.3f', seconds) end

-- Redis that has reached its memory limit refuses a script whose first write may enlarge it. Whatever gives
-- memory back, or keeps a promise already made, starts with this write, which Redis never refuses.
local function pass_full_memory(zset) redis.call('ZREM', zset, '') end

-- `data` is JSON. Ids, states and queue names are checked at the door, so they need no escaping.
local function emit(id, event, data)
  redis.call('PUBLISH', key.events(id), '{"event":"' .. event .. '","data":' .. data .. '}')
end

local function ring(queue, times)
  local bell = key.bell(queue)
  for _ = 1, math.min(times, BELL_CAP - redis.call('LLEN', bell)) do redis.call('LPUSH', bell, 1) end
end

-- Into the ready list of its queue: at the tail ('LPUSH'), or at the head ('RPUSH') what was already claimed once.
local function make_ready(id, queue, push, at)
  redis.call('HSET', key.task(id), 'status', 'PENDING', 'updated_at', stamp(at))
  redis.call(push, key.queue(queue), id)
  emit(id, 'queued', '{"task_id":"' .. id .. '","status":"PENDING","queue":"' .. queue .. '","at":' .. stamp(at) .. '}')
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
