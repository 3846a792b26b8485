-- Take a record off the due ones, unless it became due again meanwhile. KEYS: due. ARGV: 1 field; 2 time up to which it was seen to.
local since = redis.call('ZSCORE', KEYS[1], ARGV[1])
if since and tonumber(since) <= tonumber(ARGV[2]) then redis.call('ZREM', KEYS[1], ARGV[1]) end
return {}
