-- Renew a lease that is still ours. KEYS: lease. ARGV: 1 token; 2 life in ms. Returns 1, or 0 when it is lost.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
