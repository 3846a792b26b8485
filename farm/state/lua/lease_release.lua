-- Release a lease. KEYS: lease, queue. ARGV: 1 token. Returns the queued messages, and none when another holder has it.
-- The reconciler finds what is not returned because it is too much.
if held_by(KEYS[1]) ~= ARGV[1] then return {} end
redis.call('DEL', KEYS[1])
local waiting, size = {}, 0
if redis.call('TYPE', KEYS[2]).ok == 'list' then
  for _, message in ipairs(redis.call('LRANGE', KEYS[2], 0, 999)) do
    size = size + #message
    if size <= 16777216 then table.insert(waiting, message) end
  end
end
redis.call('UNLINK', KEYS[2])
return waiting
