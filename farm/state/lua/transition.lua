-- Change one record of a run from one state to another, append the event, and count what has not ended: all or nothing.
-- KEYS: 1 meta; 2 records; 3 events; 4 left: the number of a package's jobs that have not ended;
--       5 queued:ARCH; 6 in-progress; 7 due; 8 requeued: sorted sets of records that wait, by the time since when;
--       9 ready:ARCH: a sorted set of jobs that may be queued, which this one leaves
-- ARGV: 1 the request as JSON:
--         field            the record's field in the hash of records
--         package          a job's package: the field of that record; "" for a package
--         expected_states  the states that the record may be in
--         expected_token   the fencing token that it must carry; "" for any
--         patch            the fields to write, "state" among them; strings and numbers only
--         ends             whether the new state is final
--         waits_in         "queued", "in_progress" or "due": where the record waits in its new state; "" for nowhere.
--                          A queued record that was queued or in progress before waits in "requeued"
--         max_events       the length to which the event stream is trimmed
-- Returns {1, the new record}, or {0, the record as it is} where state or token is not as expected ("" for no record).
local request = cjson.decode(ARGV[1])
-- A run that is gone stays gone: this must not make keys that nobody reads and that never expire.
if redis.call('EXISTS', KEYS[1]) == 0 then return {0, ''} end
local text = redis.call('HGET', KEYS[2], request.field)
if not text then return {0, ''} end
local record = cjson.decode(text)

local expected = false
for _, state in ipairs(request.expected_states) do expected = expected or state == record.state end
if not expected then return {0, text} end
if request.expected_token ~= '' and record.token ~= request.expected_token then return {0, text} end

-- Whole milliseconds: a double keeps them exactly, through JSON and as a score.
local clock = redis.call('TIME')
local now = clock[1] + math.floor(clock[2] / 1000) / 1000

if request.waits_in == 'queued' and record.state ~= 'waiting' then request.waits_in = 'requeued' end
for name, value in pairs(request.patch) do record[name] = value end
record.at = now
text = cjson.encode(record)
redis.call('HSET', KEYS[2], request.field, text)

local function append_event(name, value)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', request.max_events, '*', 'record', name, 'value', value)
end
append_event(request.field, text)

local places = {queued = KEYS[5], in_progress = KEYS[6], due = KEYS[7], requeued = KEYS[8]}
for place = 5, 9 do redis.call('ZREM', KEYS[place], request.field) end
if request.waits_in ~= '' then redis.call('ZADD', places[request.waits_in], now, request.field) end

if not request.ends then return {1, text} end

if request.package ~= '' then
  -- The last job of a package that ends makes the package due: its publication may have been lost, or it must be settled.
  -- Below 0 if Redis lost the count: the coordinator then looks whether all have ended.
  if redis.call('HINCRBY', KEYS[4], request.package, -1) <= 0 then
    local package = redis.call('HGET', KEYS[2], request.package)
    if package and cjson.decode(package).state == 'building' then redis.call('ZADD', KEYS[7], now, request.package) end
  end
  return {1, text}
end

if record.state == 'failed' or record.state == 'cancelled' then redis.call('HINCRBY', KEYS[1], record.state, 1) end
if redis.call('HINCRBY', KEYS[1], 'open', -1) == 0 and redis.call('HGET', KEYS[1], 'state') == 'open' then
  local state = 'done'
  if redis.call('HEXISTS', KEYS[1], 'failed') == 1 then state = 'failed'
  elseif redis.call('HEXISTS', KEYS[1], 'cancelled') == 1 then state = 'cancelled' end
  redis.call('HSET', KEYS[1], 'state', state, 'finished', now)
  append_event('R', cjson.encode({state = state}))
end
return {1, text}
