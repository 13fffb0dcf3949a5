-- fire: (none) → PENDING, for the due times of a schedule, or since somebody wants it run; or → WAITING behind others of its
--       tenant.
-- KEYS  schedules, the schedule's hash, those whose last run is open
-- ARGV  prefix, name, its version and the due time that it stands at ('' = run it whatever it stands at), the one that is
--       next then ('' = none), then for each task its id and its due time ('' where it has none)
-- =>    {'fired', how many tasks are new, the id of the task that the last one is the same as, or ''}: of a unique task
--       there is none for a due time while an earlier one has its key; else nothing is sent: {'passed'} where it stands at
--       another time or is another version by now, as when this was done before; {'undeclared'} where it is from code that
--       no live worker has, so that it stands at no time any more; {'gone'} where there is none; {'stuck', the key of
--       another program in its way, or of the schedule that one has damaged}
-- event queued | waiting
local LONGEST_HOLD = 1e12

-- What the task has more than others; the key of a unique one, and the ms that it is held. Fails for what another program
-- has damaged.
local function read_more(text, at)
  local more = more_of(text, at)
  -- What is debounced is due after its quiet time, a schedule at its own: they are not declared together any more.
  local where = more.once ~= 'debounce' and key_of_call(more) or nil
  local hold = where and tonumber(more.hold)
  if where and not (hold and hold >= 1 and hold <= LONGEST_HOLD) then error('hold') end
  for _, field in ipairs({'priority', 'tags', 'options', 'gates', 'fair', 'once', 'once_key'}) do
    if type(more[field] or '') ~= 'string' then error(field) end
  end
  if more.expires and not (more.expires > -LONGEST_HOLD and more.expires < LONGEST_HOLD) then error('expires') end
  return more, where, where and string.format('%.0f', hold)
end

local schedules, hash, open = KEYS[1], KEYS[2], KEYS[3]
local name, version, due, next_due = unpack(ARGV, 2, 5)
local at = now()
local entry = redis.pcall('HMGET', hash, 'version', 'origin', 'task', 'args', 'kwargs', 'queue', 'max_retries', 'more')
if entry.err then return {'stuck', hash} end
local stored, origin, task, args, kwargs, queue, max_retries, more = unpack(entry, 1, 8)
if not stored then
  redis.call('ZREM', schedules, name)
  return {'gone'}
end
if not (task and args and kwargs and queue and max_retries) then return {'stuck', hash} end
if due ~= '' then
  local score = redis.call('ZSCORE', schedules, name)
  if not score or tonumber(score) ~= tonumber(due) or stored ~= version then return {'passed'} end
  if origin == 'code' and not is_declared(name, version, at) then
    redis.call('ZADD', schedules, '+inf', name)
    redis.call('HSET', hash, 'undeclared', stamp(at), 'kept', due)
    return {'undeclared'}
  end
end

local has_more = more and more ~= ''
local is_read, where, hold
is_read, more, where, hold = pcall(read_more, has_more and more or '{}', at)
if not is_read then return {'stuck', hash} end
local obstacle = obstacle_of(queue, nil, more) or where and not is_ours(where, 'string') and where
  or not is_ours(open, 'zset') and open
if obstacle then return {'stuck', obstacle} end
local holder = where and task_at(where)
if holder and not deserves(holder, more.once, at) then holder = nil end
local fresh, last, joined = {}, nil, ''
for i = 6, #ARGV, 2 do
  last, joined = i, ''
  if redis.call('EXISTS', key.task(ARGV[i])) == 0 then
    if holder then
      joined = holder.id
    else
      fresh[#fresh + 1] = ARGV[i]
      holder = where and {id = ARGV[i]}
    end
  end
end

for _, id in ipairs(fresh) do
  write_task(key.task(id), id, task, args, kwargs, queue, max_retries, 'PENDING', at)
  if has_more then write_more(id, more, at) end
  if where then take_key(id, more, where, hold) end
  come(id, queue, more.lane, more.fair, at, true)
end
if #fresh > 0 or joined ~= '' then
  redis.call('HSET', hash, 'last_id', joined ~= '' and joined or ARGV[last], 'last_slot', ARGV[last + 1],
    'last_at', stamp(at), 'last_status', '', 'last_duplicate', joined ~= '' and '1' or '')
  redis.call('HINCRBY', hash, 'fired', #fresh)
  redis.call('ZADD', open, stamp(at), name)
end
-- Nobody is told: who has found it due with us looks again, and has the new time.
if due ~= '' then redis.call('ZADD', schedules, next_due == '' and '+inf' or next_due, name) end
ring()
return {'fired', #fresh, joined}
