-- claim: PENDING | WAITING → RUNNING, for one thread of a live worker: the next task, and behind it further ones that are short;
--       or → EXPIRED, where it may not begin any more, or → WAITING, where a limit stops it; and WAITING → PENDING at the tail
--       of the list, for the next one of a tenant whose front is taken. It may be taken by the same claim, when it comes to it.
-- KEYS  workers, claims and claimed of the worker, then the ready list, the bell and, unless it is for quarantines, the
--       priorities of each queue, in serving order
-- ARGV  prefix, worker, thread, number of this claim, nonce, count, '1' if it is sent behind a wait, share, budget
--       in microseconds, seconds that the lease must last yet, '1' for quarantines, seconds that what has expired is kept,
--       then for each name that is known to be short: the name, its
--       mean run time in microseconds.
--       Never more than `count` tasks, nor more of a queue than one of `share` threads gets if all share what waits there.
--       All of several have names known to be short, and their run times together are within the budget. The next task is
--       taken whatever it is, and none is ever passed over: the first one that may not come along ends the batch. Nothing is
--       taken of a later queue, or of a later list of one, while something waits in front of it: lists come by their
--       priority, or with ageing by that and by how long their next task has waited.
-- =>    {'ok', dropped ids, time, how many were passed by, as they are cancelled, expired or have to wait, task, …}, a task
--       being {id, token, name, args, kwargs, queue, retry_count, max_retries, time since when it waited, options};
--       {'unregistered'}: no lease, or none for so long, beat first; {'stale'}: a later claim
--       was answered already. A worker that was woken up to stop gets nothing.
--       The same number again gives the same tasks again: an answer that was lost on the way is repeated.
-- event started | expired | waiting | queued
local worker, thread, number, nonce, count, woken = ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[6]), ARGV[7]
local share, budget = tonumber(ARGV[8]), tonumber(ARGV[9])
local workers, claims, claimed = KEYS[1], KEYS[2], KEYS[3]
local MOST_DROPPED, UNKNOWN = 100, math.huge
local at = now()

local function delivery(id, token, task)
  return {id, token, task.name, task.args, task.kwargs, task.queue, task.retry_count, task.max_retries, task.updated_at,
    task.options or ''}
end

local lease_end = redis.call('ZSCORE', workers, worker)
local noted = redis.call('HMGET', claims, thread, 'stopped')
local last = tonumber(noted[1] or 0)
if number < last then return {'stale'} end
if not lease_end or tonumber(lease_end) <= at + tonumber(ARGV[10]) then
  -- Remembered all the same: a copy of this claim that comes late, when there is a lease, must take nothing.
  pass_full_memory(workers)
  redis.call('HSET', claims, thread, number)
  if not lease_end then redis.call('EXPIRE', claims, CLAIMS_KEPT) end
  return {'unregistered'}
end
if number == last then
  local again, over = {'ok', {}, stamp(at), 0}, {}
  local held = redis.call('HGETALL', claimed)
  for i = 1, #held, 2 do
    local task = string.sub(held[i + 1], -#nonce) == nonce and whole(held[i], 'args', 'kwargs', 'more')
    if task and task.token == held[i + 1] then
      if task.status == 'RUNNING' then
        rare().add_more(held[i], task, 'options')
        again[#again + 1] = delivery(held[i], held[i + 1], task)
      end
      if task.status == 'CANCELLED' then over[#over + 1] = held[i] end
    end
  end
  -- Of what was cancelled before the worker has heard that it has it, nobody else will say that it is over.
  call_with_all('HDEL', claimed, over)
  if #over > 0 then
    for _, id in ipairs(over) do rare().close_run(id, at) end
    rare().ring()
  end
  return again
end

if noted[2] then
  pass_full_memory(workers)
  redis.call('HSET', claims, thread, number)
  return {'ok', {}, stamp(at), 0}
end

local costs = {}
for i = 13, #ARGV, 2 do costs[ARGV[i]] = tonumber(ARGV[i + 1]) end

-- Where to look, in order: the lists of each queue.
local is_quarantine, keep = ARGV[11] == '1', string.format('%.0f', tonumber(ARGV[12]) * 1000)
local WIDTH, sources = is_quarantine and 2 or 3, {}
-- Nearly always there is none of what only some tasks and queues have.
local unusual, has_controls, keeper = {key.controls(), key.queue_settings()}, false, nil
for i = 6, is_quarantine and 0 or #KEYS, WIDTH do unusual[#unusual + 1] = KEYS[i] end
if redis.call('EXISTS', unpack(unusual)) == 0 then
  for i = 4, #KEYS, WIDTH do sources[#sources + 1] = {ready = KEYS[i], queue = {bell = KEYS[i + 1]}, is_last = true} end
else
  sources, has_controls = rare().lists_of(WIDTH, is_quarantine, at)
end

-- Peek: the rightmost id is the next one. Ids without a PENDING task are foreign; they are dropped and told, but for those
-- that were cancelled or have expired while they waited.
local taken, dropped, late, stopped, passed, seen = {}, {}, {}, {}, 0, {}
local spent, is_full = 0, false

-- Whether a task may come along with those that are taken already; if so, it counts as taken from now on.
local function fits(task)
  local together = spent + (costs[task.name] or UNKNOWN)
  if #taken > 0 and together > budget then return false end
  spent = together
  return true
end

-- How many may be taken by then, if so many wait in a list.
local function most_of(queue, before, length)
  local most = math.min(count, before + math.max(1, math.ceil(length / share)))
  return queue.limit and math.min(most, #taken + math.max(0, queue.limit)) or most
end

for _, source in ipairs(sources) do
  local ready, offset = source.ready, 0
  local before, round, backlog = #taken, nil, nil
  local length = redis.call('LLEN', ready)
  local queue = source.queue
  local most = most_of(queue, before, length)
  while not is_full and #taken < most and (offset < length or round and round.ahead()) and #dropped + passed < MOST_DROPPED do
    local ids, room
    if offset < length then
      -- The first task decides whether there are further ones, so it is read alone.
      local want = #taken == 0 and 1 or most - #taken
      ids = redis.call('LRANGE', ready, -(offset + want), -(offset + 1))
    else
      -- Behind the end of the list: who has come up there since tenants' fronts were taken.
      ids = {}
      ids[1], room = round.ahead()
    end
    for j = #ids, 1, -1 do
      local id = ids[j]
      local task = not is_full and not seen[id] and whole(id, 'args', 'kwargs', 'more')
      if task and task.more then
        rare().add_more(id, task, 'options', 'expires', 'tags', 'gates', 'pass', 'place', 'fair', 'unique')
        task.lane = source.priority
        -- Of a tenant whose turn it is.
        if room then
          task.turn, task.status, task.place = room, 'PENDING', nil
        elseif task.pass and string.sub(task.pass, 1, 5) == 'fair/' then
          task.turn, task.pass = task.pass, nil
        end
      end
      local is_late = task and task.expires and (tonumber(task.expires) or UNKNOWN) <= at
      local is_waiting = task and task.status == 'PENDING' and not is_late
      local is_gated = is_waiting and (has_controls or task.gates or task.pass)
      if is_gated then keeper = keeper or rare().gatekeeper(at) end
      local stop = is_gated and keeper.stop(task)
      is_full = is_full or is_waiting and not stop and not fits(task)
      if is_full then break end
      local obstacle = is_gated and keeper.obstacle(task)
      if obstacle then return foreign(obstacle) end
      if stop then
        keeper.count_out(stop)
        stopped[#stopped + 1] = {id, task, stop}
        passed = passed + 1
      elseif is_waiting then
        if is_gated then keeper.count_in(task) end
        if queue.limit then queue.limit = queue.limit - 1 end
        taken[#taken + 1] = {id, task, queue.limit and queue.gate}
      elseif task and (task.status == 'PENDING' or task.status == 'CANCELLED' or task.status == 'EXPIRED') then
        if task.status == 'PENDING' then late[#late + 1] = {id, task} end
        passed = passed + 1
      elseif not room then
        dropped[#dropped + 1] = id
        local lost = not is_quarantine and rare().room_of_lost(id, ready)
        if lost then
          round = round or rare().round_of(at)
          round.miss(lost)
        end
      end
      is_full = is_waiting and not stop and spent >= budget
      seen[id] = true
      local turn = room or task and task.turn
      if turn then
        round = round or rare().round_of(at)
        round.leave(id, turn, room ~= nil)
        if not backlog then
          backlog = rare().backlog_of(turn)
          most = most_of(queue, before, length + backlog)
        end
      end
      if not room then offset = offset + 1 end
    end
  end
  source.popped, source.left, source.round = offset, length - offset + (round and round.count() or 0), round
  -- A queue that may give no more is as good as empty: whoever frees a slot there, or lets it go on, rings.
  source.is_shut = source.left > 0 and queue.limit and queue.limit <= 0
  if source.is_shut then source.left = 0 end
  is_full = is_full or source.left > 0
  -- What else is there concerns only who was woken: it passes the ring on for what it leaves behind.
  if (is_full or #taken >= count) and woken ~= '1' then break end
end

if #taken > 0 and not is_ours(claimed, 'hash') then return foreign(claimed) end
if #KEYS < 4 then pass_full_memory(workers) end
local left = 0
for _, source in ipairs(sources) do
  if not source.popped then break end
  local bell = source.queue.bell
  -- In a full memory these may be the first writes: each queue that is looked into is left shorter, or without a bell.
  if source.popped > 0 then redis.call('LTRIM', source.ready, 0, -(source.popped + 1)) end
  if source.left == 0 and source.priority and not source.is_shut then
    redis.call('ZREM', source.queue.priorities, source.priority)
  end
  left = left + source.left
  if source.is_last then
    if left == 0 then
      redis.pcall('LTRIM', bell, 1, 0)  -- and not DEL, as it may be another program's
    elseif woken == '1' and is_ours(bell, 'list') and redis.call('LLEN', bell) == 0 then
      redis.call('LPUSH', bell, 1)
    end
    left = 0
  end
end
redis.call('HSET', claims, thread, number)

for _, source in ipairs(sources) do
  if source.round then source.round.close(source.ready) end
end
for _, one in ipairs(late) do
  rare().end_unrun(one[1], one[2], 'EXPIRED', keep, at)
  if one[2].pass then
    keeper = keeper or rare().gatekeeper(at)
    keeper.lose(one[1], one[2].pass)
  end
end
for _, one in ipairs(stopped) do keeper.hold(one[1], one[2], one[3]) end

local answer, held = {'ok', dropped, stamp(at), passed}, {}
local worker_and_on = ',"status":"RUNNING","worker":"' .. worker .. '","retry_count":'
for _, one in ipairs(taken) do
  local id, task = one[1], one[2]
  local deliveries = tonumber(string.match(task.token, '^%d+')) + 1
  local token = string.format('%d.%s', deliveries, nonce)
  redis.call('HSET', key.task(id), 'status', 'RUNNING', 'token', token, 'worker', worker,
    'started_at', stamp(at), 'updated_at', stamp(at))
  if deliveries > 1 then redis.call('HDEL', key.task(id), 'progress') end
  if task.stood_at or one[3] then
    local slots = (task.stood_at and keeper.enter(id, task) or '') .. ' ' .. (one[3] or '')
    if one[3] then redis.call('ZADD', key.slots(one[3]), stamp(at), id) end
    if string.find(slots, '%S') then redis.call('HSET', key.task(id), 'slots', slots, 'more', 1) end
  end
  if task.unique and string.find(task.unique, '^start ') then rare().free_unique(id, task.unique) end
  held[#held + 1] = id
  held[#held + 1] = token
  emit(id, 'started', worker_and_on .. task.retry_count .. ',"at":' .. when(at) .. '}')
  answer[#answer + 1] = delivery(id, token, task)
end
call_with_all('HSET', claimed, held)
if keeper then rare().ring() end
return answer
