-- revive: FAILED → PENDING, as a new task with all its retries, out of quarantine; or → WAITING behind others of its tenant. A
--       batch.
-- KEYS  dead letters; for a part of their list also forgotten (of this request)
-- ARGV  prefix, nonce of this request, ids; for a part of the list in place of these what `part_of_letters` asks for
-- =>    for each id 1, also when this very request has revived it before; 0 when it is not a dead letter. For a part of the
--       list: {how many are revived, how many ids were looked at, how many lie behind now, how many in front, which ids are
--       revived if some were named, the newest that lies behind}; the same once more to a request that has revived some
-- event queued | waiting
local dead_letter, nonce = KEYS[1], ARGV[2]
local at = now()
local answers, current, seen = {}, {}, {}
local part = KEYS[2] and part_of_letters(dead_letter, KEYS[2], 3)
if part and part.before then return part.before end
local ids = part and part.ids or {unpack(ARGV, 3)}
for _, id in ipairs(ids) do
  local task = fields(id, 'status', 'revived')
  local letter = task and task[1] == 'FAILED' and task[2] ~= nonce and not seen[id] and whole(id, 'priority', 'fair')
  if letter then
    local obstacle = no_line(letter.queue, lane_of(letter.priority))
    if obstacle then return foreign(obstacle) end
    seen[id] = true
    current[#current + 1] = {id, letter.queue, lane_of(letter.priority), letter.fair}
  end
  answers[#answers + 1] = (letter or (task and task[2] == nonce)) and 1 or 0
end

if part then answers = part.take(current) end
for _, one in ipairs(current) do
  local id, queue, lane, tenant = one[1], one[2], one[3], one[4]
  if not part then redis.call('LREM', dead_letter, -1, id) end
  redis.call('HSET', key.task(id), 'retry_count', 0, 'revived', nonce, 'since', stamp(at))
  redis.call('HDEL', key.task(id), 'error', 'progress', 'crashes', 'solo_crashes', 'last_crash', 'lane',
    'expires')
  take_out(key.expiring(), id)
  if lane then redis.call('HSET', key.task(id), 'lane', lane) end
  come(id, queue, lane, tenant, at)
end
ring()
return answers
