-- Renew a lease. KEYS: lease. ARGV: 1 token; 2 duration in ms. Returns 1, or 0 when another holder has it.
-- A lease that expired while Redis was away, and that nobody took, is renewed too. That is safe: the holder has checked
-- that its record carries its token, and it would not if another had taken, used and released the lease meanwhile.
local held = held_by(KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
