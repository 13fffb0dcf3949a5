-- admit: WAITING → PENDING at the head of its queue, for the first who wait at gates that may have opened.
-- KEYS  gates
-- ARGV  prefix, the most gates to look at in one call
-- =>    seconds until the next gate is to be looked at, '' if nothing waits at any
--       If the clock has been set back since the last call, all gates are looked at anew. One call puts some 500 tasks
--       forward at most; the rest is due at once.
-- event queued
local RECHECK, MOST_CHECKED, MOST_WOKEN, MOST_MOVED = 5, 100, 50, 500
local MOST_ANEW, SECONDS_KEPT = 10000, 60
local at = now()
local keeper = gatekeeper(at)

-- Slots that tasks have taken which do not run any more, as only a foreign hand can bring about, are given back.
local function check_slots(gate)
  local freed = 0
  if not is_ours(key.slots(gate), 'zset') then return freed end
  for _, id in ipairs(redis.call('ZRANGE', key.slots(gate), 0, MOST_CHECKED - 1)) do
    local task = fields(id, 'status', 'keep')
    if not task or not (task[1] == 'RUNNING' or task[1] == 'CANCELLED' and task[2]) then
      freed = freed + redis.call('ZREM', key.slots(gate), id)
    end
  end
  return freed
end

-- By a clock that was an hour ahead it was noted that they need no look for an hour. Where nobody has looked for long, that may
-- be so, too.
local found = redis.pcall('GET', key.looked())
local looked = not found and math.huge or type(found) == 'string' and tonumber(found)
local is_behind = looked and at < looked
local ahead = is_behind and redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. stamp(at), '+inf', 'LIMIT', 0, MOST_ANEW) or {}
if #ahead > 0 then pass_full_memory(KEYS[1]) end
local anew = {}
for i, gate in ipairs(ahead) do anew[2 * i - 1], anew[2 * i] = stamp(at), gate end
call_with_all('ZADD', KEYS[1], anew)

local due = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', stamp(at), 'LIMIT', 0, tonumber(ARGV[2]))
if #due > 0 then pass_full_memory(KEYS[1]) end
local moved = 0
for _, gate in ipairs(due) do
  if moved >= MOST_MOVED then break end
  local kind = string.match(gate, '^(%w+)/')
  local tat = kind == 'rate' and keeper.next_start(gate) or 0
  if tat > at then
    redis.call('ZADD', KEYS[1], stamp(tat), gate)
  elseif kind == 'pause' and is_ours(key.controls(), 'hash') and redis.call('HEXISTS', key.controls(), gate) == 1 then
    redis.call('ZREM', KEYS[1], gate)
  else
    if kind == 'slots' then check_slots(gate) end
    local woken, is_done = 0, false
    while woken < MOST_WOKEN and moved < MOST_MOVED and not is_done do
      local count = keeper.wake(gate)
      woken, moved, is_done = woken + 1, moved + (count or 0), not count
    end
    -- Once more, in case that who was put forward is not claimed: the claim itself says when to look again.
    if redis.call('EXISTS', key.rooms(gate)) == 1 then
      redis.call('ZADD', KEYS[1], stamp(at + (is_done and RECHECK or 0)), gate)
    else
      redis.call('ZREM', KEYS[1], gate)
    end
  end
end
-- Of a queue whose runs are limited, too.
local function check_queue(queue)
  if queue and check_slots('queue/' .. queue) > 0 then keeper.ring_queue(queue) end
end
if redis.call('EXISTS', key.controls(), key.queue_settings()) > 0 then
  local controls = is_ours(key.controls(), 'hash') and redis.call('HKEYS', key.controls()) or {}
  local settings = is_ours(key.queue_settings(), 'hash') and redis.call('HKEYS', key.queue_settings()) or {}
  for _, field in ipairs(controls) do check_queue(string.match(field, '^queue/(.*)$')) end
  for _, queue in ipairs(settings) do check_queue(queue) end
end
ring()

local next_one = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
if next_one[2] and looked and (is_behind or at >= looked + 1) then
  pass_full_memory(KEYS[1])
  redis.call('SET', key.looked(), stamp(at), 'EX', SECONDS_KEPT)
end
return next_one[2] and stamp(math.max(0, tonumber(next_one[2]) - at)) or ''
