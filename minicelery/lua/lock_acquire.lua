-- lock_acquire: gives a lock to one who asks for it, in the order in which they came. No task changes its state.
-- KEYS  lock, facts and line of the lock, over (of this request)
-- ARGV  prefix, nonce of this request, owner, seconds until it ends unless it is renewed, how many may hold it at once,
--       seconds for which a place in the line is kept ('0': it does not wait, or no longer)
--       It gets the lock if with it no more hold it than it allows itself, nor than anybody allows who holds it or waits in
--       front.
-- =>    {'held', token}, also when this very request has got it before; {'wait', seconds until another look makes sense,
--       unless its bell rings}; {'over'}: this request was released already
local lock, facts, line, over = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local me, owner, ttl, limit, keep = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local at = now()

if redis.call('EXISTS', over) == 1 then return {'over'} end
local last, noted = unpack(redis.call('HMGET', facts, 'fence', me))
local mine = redis.call('ZSCORE', lock, me)
local _, _, before = string.match(noted or '', FACT .. ' (%d+) ')
if before and mine and tonumber(mine) > at then return {'held', before} end

-- Who holds it: the earliest end in front. `room`: how many may hold it.
local ended = redis.call('ZRANGEBYSCORE', lock, '-inf', stamp(at))
local held = redis.call('ZRANGEBYSCORE', lock, '(' .. stamp(at), '+inf', 'WITHSCORES')
local holders, ends, room = {}, {}, limit
for i = 1, #held, 2 do
  holders[#holders + 1], ends[#ends + 1] = held[i], tonumber(held[i + 1])
end
if #holders > 0 and #holders < limit then
  for _, fact in ipairs(redis.call('HMGET', facts, unpack(holders))) do
    room = math.min(room, tonumber((string.match(fact or '', FACT))) or room)
  end
end
local front, gone = walk_line(line, facts, at, limit, me)
for _, one in ipairs(front) do room = math.min(room, one.limit) end
local is_mine = #holders + #front < room

if not is_mine and keep == 0 then
  if noted then
    redis.call('ZREM', line, me)
    redis.call('HDEL', facts, me)
    ring_waiter(line, facts, at, 0)
  end
  return {'wait', '0'}
end

-- Also in a full memory: what runs shall be able to end.
pass_full_memory(lock)
call_with_all('ZREM', line, gone)
call_with_all('HDEL', facts, gone)
if not is_mine then
  local behind = redis.call('ZREVRANGE', line, 0, 0, 'WITHSCORES')[2]
  redis.call('ZADD', line, 'NX', string.format('%.0f', (tonumber(behind or nil) or 0) + 1), me)
  redis.call('HSET', facts, me, string.format('%d %s %s', limit, stamp(at + keep), stamp(at)))
  keep_lock(line, 0)
  keep_lock(facts, 0)
  -- Another look makes sense when so many have ended as are too many, or when the place of one in front has, for whom
  -- there is room and who does not come.
  local wait = (ends[#holders + #front + 1 - room] or at + keep) - at
  for _, one in ipairs(front) do
    if #holders < room then wait = math.min(wait, one.place_end - at) end
  end
  return {'wait', stamp(math.max(wait, 0))}
end

-- Larger than the last one, and than any of a time from which Redis has lost the last one.
local token = string.format('%.0f', math.max((tonumber(last or nil) or 0) + 1, math.floor(at * 1000 + 0.5)))
call_with_all('ZREM', lock, ended)
call_with_all('HDEL', facts, ended)
redis.call('ZREM', line, me)
redis.call('ZADD', lock, stamp(at + ttl), me)
redis.call('HSET', facts, 'fence', token, me, string.format('%d %s %s %s', limit, stamp(at), token, owner))
keep_lock(lock, ttl)
keep_lock(facts, ttl)
if #holders + #front + 1 < room then ring_waiter(line, facts, at, #front) end
return {'held', token}
