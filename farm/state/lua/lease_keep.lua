-- Renew a lease. KEYS: lease. ARGV: 1 token; 2 life in ms. Returns 1, or 0 when another holder has it.
-- One that ran out while Redis was away, and that nobody took, is ours again: the record that carries our token
-- says so before we ask, and fences us where somebody came, did the work and left meanwhile.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
