-- beat: registers workers and renews their leases, and tells what their code says of queues. No task changes its state.
-- KEYS  workers, then the info key of each worker
-- ARGV  prefix, lease in seconds, then for each worker: id, info (JSON); then for each queue of which their code says
--       something: its name, and that as '<runs at the same time>:<ageing>', where either may be left out
-- =>    for each worker 1 when its lease was renewed, 0 when it was not registered (it is now)
--       What was never said of a queue replaces at once what is there. What was replaced comes back only when no live worker
--       says the other any more: so two releases side by side come to rest with the newer one. What no live worker says is
--       taken away.
local MOST_REPLACED = 8
local workers, settings = KEYS[1], key.queue_settings()
local at = now()
local lease_end = stamp(at + tonumber(ARGV[2]))
local known, said = {}, {}
for i = 2, #KEYS do known[#known + 1] = redis.call('ZSCORE', workers, ARGV[2 * i - 1]) and 1 or 0 end
for i = 2 * #KEYS + 1, #ARGV, 2 do said[ARGV[i]] = ARGV[i + 1] end

pass_full_memory(workers)
for i = 2, #KEYS do
  redis.call('ZADD', workers, lease_end, ARGV[2 * i - 1])
  redis.call('SET', KEYS[i], ARGV[2 * i])
  redis.call('PERSIST', key.claims(ARGV[2 * i - 1]))
end

-- In the field of a queue stands what holds, and behind it what that has replaced.
local there = redis.pcall('HGETALL', settings)
if there.err then return known end
for i = 1, #there, 2 do
  local queue, field = there[i], there[i + 1]
  local before, replaced = string.match(field, '^(%S*)(.*)$')
  local after = said[queue]
  said[queue] = nil
  local was_replaced = after and string.find(replaced .. ' ', ' ' .. after .. ' ', 1, true)
  if after ~= before and (after and not was_replaced or not is_declared('queue/' .. queue, before, at)) then
    if after then
      local words = {after, before}
      for word in string.gmatch(replaced, '%S+') do
        if word ~= after and word ~= before and #words <= MOST_REPLACED then words[#words + 1] = word end
      end
      redis.call('HSET', settings, queue, table.concat(words, ' '))
    else
      redis.call('HDEL', settings, queue)
    end
    ring_all(queue)
  end
end
for queue, text in pairs(said) do redis.call('HSET', settings, queue, text) end
return known
