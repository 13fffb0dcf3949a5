-- control: sets what an operator asks for: a pause or a limit of a queue or of a task's name, or the ageing of a queue. No
--       task changes its state.
-- KEYS  controls, gates
-- ARGV  prefix, field ('pause/<name>', 'rate/<name>', 'slots/<name>', 'pause-queue/<queue>', 'queue/<queue>',
--       'ageing/<queue>'), its value, of a pause the members of a JSON object; '' to take it away
-- =>    the value it had before, '' for none
--       What waits there is looked at anew, and idle workers of a queue are woken.
local field, value = ARGV[2], ARGV[3]
local at, MOST = now(), 10000
local before = redis.call('HGET', KEYS[1], field) or ''
if not is_ours(KEYS[2], 'zset') then return foreign(KEYS[2]) end
pass_full_memory(KEYS[2])
if string.find(field, '^pause') and value ~= '' then value = '{"since":' .. stamp(at) .. ',' .. value .. '}' end
if value == '' then redis.call('HDEL', KEYS[1], field) else redis.call('HSET', KEYS[1], field, value) end
local queue = string.match(field, '^queue/(.*)$') or string.match(field, '^pause%-queue/(.*)$')
if queue then
  ring_all(queue)
elseif not string.find(field, '^ageing/') then
  local name = string.match(field, '^%w+/(.*)$')
  local gates = {['pause/' .. name] = true, ['rate/' .. name] = true, ['slots/' .. name] = true}
  -- And those of its keys, as far as somebody waits there.
  for _, gate in ipairs(redis.call('ZRANGE', KEYS[2], 0, MOST - 1)) do
    if string.match(gate, '^%w+/([^/]*)') == name then gates[gate] = true end
  end
  for gate in pairs(gates) do note_time(KEYS[2], gate, at) end
end
return before
