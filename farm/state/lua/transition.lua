-- Move one record of a run from one state to another, once, and tell it on the run's event stream.
-- KEYS: meta, records, events, open jobs of each package; then where a record waits for somebody, by the time
--       since when: this record's queue, in hand, due
-- ARGV: 1 record's field; 2 states it may come from, as ",a,b,"; 3 token the record must carry ("" for any)
--       4 patch (JSON object of flat values, "state" among them); 5 what a package that ends here is to its
--       run ("", "stands", "failed", "cancelled"); 6 longest event stream; 7 place among the last three keys
--       at which the record then waits, 0 for none; 8 a job's package record ("" for a package)
--       9 states in which a job has ended, as ",a,b,"
-- Returns {1, new record} or {0, record as it stands ("" where there is none)}.
local standing = redis.call('HGET', KEYS[2], ARGV[1])
if not standing then return {0, ''} end
local record = cjson.decode(standing)
local before = record.state
if not string.find(ARGV[2], ',' .. before .. ',', 1, true) then return {0, standing} end
if ARGV[3] ~= '' and record.token ~= ARGV[3] then return {0, standing} end

-- Milliseconds survive JSON and scores unchanged.
local clock = redis.call('TIME')
local now = clock[1] + math.floor(clock[2] / 1000) / 1000

local patch = cjson.decode(ARGV[4])
for key, value in pairs(patch) do record[key] = value end
record.at = now
local text = cjson.encode(record)
redis.call('HSET', KEYS[2], ARGV[1], text)
redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'record', ARGV[1], 'value', text)

for place = 5, 7 do redis.call('ZREM', KEYS[place], ARGV[1]) end
if ARGV[7] ~= '0' then redis.call('ZADD', KEYS[4 + ARGV[7]], now, ARGV[1]) end

if ARGV[8] ~= '' then
  local had_ended = string.find(ARGV[9], ',' .. before .. ',', 1, true)
  local has_ended = string.find(ARGV[9], ',' .. record.state .. ',', 1, true)
  if has_ended and not had_ended and redis.call('HINCRBY', KEYS[4], ARGV[8], -1) == 0 then
    local package = cjson.decode(redis.call('HGET', KEYS[2], ARGV[8]))
    if package.state == 'building' then redis.call('ZADD', KEYS[7], now, ARGV[8]) end
  end
end

if ARGV[5] ~= '' then
  if ARGV[5] ~= 'stands' then redis.call('HINCRBY', KEYS[1], ARGV[5], 1) end
  if redis.call('HINCRBY', KEYS[1], 'open', -1) == 0 and redis.call('HGET', KEYS[1], 'state') == 'open' then
    local state = 'done'
    if tonumber(redis.call('HGET', KEYS[1], 'failed') or '0') > 0 then state = 'failed'
    elseif tonumber(redis.call('HGET', KEYS[1], 'cancelled') or '0') > 0 then state = 'cancelled' end
    redis.call('HSET', KEYS[1], 'state', state, 'finished', now)
    redis.call('XADD', KEYS[3], 'MAXLEN', '~', ARGV[6], '*', 'record', 'R', 'value', cjson.encode({state = state}))
  end
end
return {1, text}
