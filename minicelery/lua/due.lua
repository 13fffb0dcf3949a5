-- due: reads which schedules are due, and changes nothing.
-- KEYS  schedules
-- ARGV  prefix, the most to tell of, how many are passed over, those that are due for the longest time first
-- =>    the time, the seconds until another one is due ('' if none is to be), then for each that is due now its name and due time
--       and, of its hash, version, cron, timezone, every, missed and most ('' for what is not there)
local at = now()
local answer = {stamp(at), ''}
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', stamp(at), 'WITHSCORES', 'LIMIT', tonumber(ARGV[3]),
  tonumber(ARGV[2]))
for i = 1, #found, 2 do
  answer[#answer + 1], answer[#answer + 2] = found[i], found[i + 1]
  local entry = redis.pcall('HMGET', key.schedule(found[i]), 'version', 'cron', 'timezone', 'every', 'missed', 'most')
  for field = 1, 6 do answer[#answer + 1] = not entry.err and entry[field] or '' end
end
local coming = redis.call('ZRANGEBYSCORE', KEYS[1], '(' .. stamp(at), '(inf', 'WITHSCORES', 'LIMIT', 0, 1)
if coming[2] then answer[2] = stamp(tonumber(coming[2]) - at) end
return answer
