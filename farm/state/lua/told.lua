-- Take a record off the due ones, unless it became due again meanwhile. KEYS: due. ARGV: 1 field; 2 time up to which it was seen to.
local since = redis.call('ZSCORE', KEYS[1], ARGV[1])
-- Scores are whole milliseconds: what became due within the last of them may have done so after it.
local seen = math.floor(tonumber(ARGV[2]) * 1000) / 1000
if since and tonumber(since) < seen then redis.call('ZREM', KEYS[1], ARGV[1]) end
return {}
