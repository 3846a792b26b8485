-- The holder of a lease. KEYS: lease. Returns its token, or nil.
local held = redis.call('GET', KEYS[1])
-- More time left than it was taken for: Redis' clock was set back. Its holder renews it if it is alive.
local longest = held and tonumber(string.match(held, '^%x+/(%d+) '))
if longest and redis.call('PTTL', KEYS[1]) > longest then redis.call('PEXPIRE', KEYS[1], longest) end
return {held}
