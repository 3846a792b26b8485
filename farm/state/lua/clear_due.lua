-- Remove a package from the due ones, unless it became due again. KEYS: due. ARGV: 1 field; 2 time since which it is handled.
local since = redis.call('ZSCORE', KEYS[1], ARGV[1])
-- Scores are whole milliseconds: a record whose score is that of this millisecond may have become due after it.
local handled = math.floor(tonumber(ARGV[2]) * 1000) / 1000
if since and tonumber(since) < handled then redis.call('ZREM', KEYS[1], ARGV[1]) end
return {}
