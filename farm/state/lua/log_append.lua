-- Append lines to the log of a job, unless its record carries another fencing token. KEYS: log, records.
-- ARGV: 1 the job's field; 2 token; 3 "new" to clear the log first; 4 most lines; 5 life of the log in seconds;
--       6 name of the last entry ("" where the log continues); then the lines
-- Returns 1, or 0 when the token is another and nothing was appended.
local record = redis.call('HGET', KEYS[2], ARGV[1])
if not record or cjson.decode(record).token ~= ARGV[2] then return 0 end
-- Trimmed, not deleted: ids of a stream only grow, so readers that follow it see the new entries.
if ARGV[3] == 'new' then redis.call('XTRIM', KEYS[1], 'MAXLEN', 0) end
for at = 7, #ARGV do
  redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], '*', 'line', ARGV[at])
end
if ARGV[6] ~= '' then redis.call('XADD', KEYS[1], '*', ARGV[6], ARGV[2]) end
redis.call('EXPIRE', KEYS[1], ARGV[5])
return 1
