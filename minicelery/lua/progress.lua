-- progress: RUNNING → RUNNING, with the token of the delivery.
-- KEYS  the task hash
-- ARGV  prefix, id, token, progress (a JSON object without its braces)
-- =>    1; -1 when it was cancelled under this token; 0 when the token is not the current one
-- event progress
local id, token, members = ARGV[2], ARGV[3], ARGV[4]
local task = fields(id, 'status', 'token')
if not task or task[2] ~= token then return 0 end
if task[1] ~= 'RUNNING' then return task[1] == 'CANCELLED' and -1 or 0 end
local at = now()
redis.call('HSET', KEYS[1], 'progress', '{' .. members .. '}', 'updated_at', stamp(at))
emit(id, 'progress', ',"status":"RUNNING",' .. members .. ',"at":' .. when(at) .. '}')
return 1
