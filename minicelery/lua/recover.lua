-- recover: RUNNING → PENDING at the head of its queue, for what a worker that is gone had claimed; the worker's own
-- keys go with its last task, and the numbers of its claims an hour later.
-- KEYS  workers, then worker, claimed, claims and wake of the worker
-- ARGV  prefix, worker, 'ended' (its parent saw it end) or 'expired' (only if its lease is over), the most to recover
--       in one call, then the ids of tasks that had begun ('*' = all): these count a crash
-- =>    {how many were recovered, how many are left}; {0, 0} when there was nothing to do
-- event queued
local workers, info, claimed, claims, wake = unpack(KEYS)
local worker, why, most = ARGV[2], ARGV[3], tonumber(ARGV[4])
local at = now()
local lease = tonumber(redis.call('ZSCORE', workers, worker) or nil)
if why == 'expired' and (not lease or lease > at) then return {0, 0} end

local begun = {}
for i = 5, #ARGV do begun[ARGV[i]] = true end
local held = redis.call('HGETALL', claimed)
local gone, current, rung = {}, {}, {}
for i = 1, math.min(#held, most * 2), 2 do
  local id, token = held[i], held[i + 1]
  local task = fields(id, 'status', 'token', 'queue', 'crashes')
  gone[#gone + 1] = id
  if task and task[1] == 'RUNNING' and task[2] == token then current[#current + 1] = {id, task[3], tonumber(task[4] or 0)} end
end

pass_full_memory(workers)
-- From here on the worker can claim nothing more, so that what is left only shrinks.
redis.call('ZADD', workers, 0, worker)
if #gone > 0 then redis.call('HDEL', claimed, unpack(gone)) end
for _, one in ipairs(current) do
  local id, queue, crashes = one[1], one[2], one[3]
  if begun[id] or begun['*'] then redis.call('HSET', key.task(id), 'crashes', crashes + 1) end
  make_ready(id, queue, 'RPUSH', at)
  rung[queue] = (rung[queue] or 0) + 1
end
for queue, times in pairs(rung) do ring(queue, times) end
local left = #held / 2 - #gone
if left == 0 then
  redis.call('ZREM', workers, worker)
  redis.call('DEL', info, claimed, wake)
  redis.call('EXPIRE', claims, CLAIMS_KEPT)
end
return {#current, left}
