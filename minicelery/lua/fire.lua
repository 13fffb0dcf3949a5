-- fire: (none) → PENDING, for the due times of a schedule, or since somebody wants it run.
-- KEYS  schedules, the schedule's hash, those whose last run is open
-- ARGV  prefix, name, its version and the due time that it stands at ('' = run it whatever it stands at), the one that is
--       next then ('' = none), then for each task its id and its due time ('' where it has none)
-- =>    {'fired', how many tasks are new}; else nothing is sent: {'passed'} where it stands at another time or is another
--       version by now, as when this was done before; {'undeclared'} where it is from code that no live worker has, so that
--       it stands at no time any more; {'gone'} where there is none; {'stuck', the key of another program in its way}
-- event queued
local schedules, hash, open = KEYS[1], KEYS[2], KEYS[3]
local name, version, due, next_due = unpack(ARGV, 2, 5)
local at = now()
local entry = redis.pcall('HMGET', hash, 'version', 'origin', 'task', 'args', 'kwargs', 'queue', 'max_retries', 'more')
if entry.err then return {'stuck', hash} end
local stored, origin, task, args, kwargs, queue, max_retries, more = unpack(entry, 1, 8)
if not (stored and task and args and kwargs and queue and max_retries) then
  if not stored then redis.call('ZREM', schedules, name) end
  return {'gone'}
end
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
more = has_more and more_of(more, at) or {}
local obstacle = obstacle_of(queue, nil, more) or not is_ours(open, 'zset') and open
if obstacle then return {'stuck', obstacle} end
local fresh, last = {}, nil
for i = 6, #ARGV, 2 do
  last = i
  if redis.call('EXISTS', key.task(ARGV[i])) == 0 then fresh[#fresh + 1] = ARGV[i] end
end

for _, id in ipairs(fresh) do
  write_task(id, task, args, kwargs, queue, max_retries, 'PENDING', at)
  if has_more then write_more(id, more, at) end
  line_up(id, queue, more.lane, 'LPUSH', at)
end
if #fresh > 0 then
  redis.call('HSET', hash, 'last_id', ARGV[last], 'last_slot', ARGV[last + 1], 'last_at', stamp(at), 'last_status', '')
  redis.call('HINCRBY', hash, 'fired', #fresh)
  redis.call('ZADD', open, stamp(at), name)
end
-- Nobody is told: who has found it due with us looks again, and has the new time.
if due ~= '' then redis.call('ZADD', schedules, next_due == '' and '+inf' or next_due, name) end
ring()
return {'fired', #fresh}
