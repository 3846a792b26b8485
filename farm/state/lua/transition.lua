-- Move one record of a run from one state to another, once, and tell it on the run's event stream.
-- KEYS: run hash, records hash, event stream
-- ARGV: 1 record's field; 2 states it may come from, as ",a,b,"; 3 token the record must carry ("" for any)
--       4 patch (JSON object of flat values, "state" among them); 5 what a package that ends here is to its
--       run ("", "stands", "failed", "cancelled"); 6 now (Unix seconds); 7 longest event stream
-- Returns {1, new record} or {0, record as it stands ("" where there is none)}.
local standing = redis.call('HGET', KEYS[2], ARGV[1])
if not standing then return {0, ''} end
local record = cjson.decode(standing)
if not string.find(ARGV[2], ',' .. record.state .. ',', 1, true) then return {0, standing} end
if ARGV[3] ~= '' and record.token ~= ARGV[3] then return {0, standing} end

local patch = cjson.decode(ARGV[4])
for key, value in pairs(patch) do record[key] = value end
record.at = tonumber(ARGV[6])
local text = cjson.encode(record)
redis.call('HSET', KEYS[2], ARGV[1], text)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '*', 'record', ARGV[1], 'value', text)

if ARGV[5] ~= '' then
  if ARGV[5] ~= 'stands' then redis.call('HINCRBY', KEYS[1], ARGV[5], 1) end
  if redis.call('HINCRBY', KEYS[1], 'open', -1) == 0 and redis.call('HGET', KEYS[1], 'state') == 'open' then
    local state = 'done'
    if tonumber(redis.call('HGET', KEYS[1], 'failed') or '0') > 0 then state = 'failed'
    elseif tonumber(redis.call('HGET', KEYS[1], 'cancelled') or '0') > 0 then state = 'cancelled' end
    redis.call('HSET', KEYS[1], 'state', state, 'finished', ARGV[6])
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[7], '*', 'record', 'R', 'value', cjson.encode({state = state}))
  end
end
return {1, text}
