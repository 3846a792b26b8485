-- Take a lease, or wait for it.
-- KEYS: lease, queue of messages to send when it is released
-- ARGV: 1 duration of the lease in ms; 2 token, unique to this attempt to take it, with its holder's name
--       3 message to queue where the lease is taken ("" for none); 4 life of the queue in seconds
-- Returns {1, token} when taken, {0, token of the holder} otherwise.
local held = held_by(KEYS[1])
-- The key has our own token where the first answer was lost and the client sent the call again.
if held and held ~= ARGV[2] then
  if ARGV[3] ~= '' then
    if redis.call('TYPE', KEYS[2]).ok ~= 'list' then redis.call('UNLINK', KEYS[2]) end
    -- The same message is queued once, however often its task finds the lease taken.
    redis.call('LREM', KEYS[2], 0, ARGV[3])
    redis.call('RPUSH', KEYS[2], ARGV[3])
    redis.call('EXPIRE', KEYS[2], ARGV[4])
  end
  return {0, held}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
return {1, ARGV[2]}
