-- Release a lease. KEYS: lease, queue. ARGV: 1 token. Returns the queued messages, and none when another holder has it.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return {} end
redis.call('DEL', KEYS[1])
local waiting = redis.call('LRANGE', KEYS[2], 0, -1)
redis.call('DEL', KEYS[2])
return waiting
