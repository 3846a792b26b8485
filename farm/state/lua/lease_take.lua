-- Take a lease, or wait in its queue.
-- KEYS: lease, queue of those who wait
-- ARGV: 1 life of the lease in ms; 2 token that no other holding ever has, and its holder, for people
--       3 what to send again when the lease is free ("" for nothing); 4 life of the queue in seconds
-- Returns {1, token} when taken, {0, holder} when another has it; a waiter is queued once.
local held = redis.call('GET', KEYS[1])
-- Our own token stands there when the answer was lost and the call came again.
if held and held ~= ARGV[2] then
  if ARGV[3] ~= '' then
    redis.call('LREM', KEYS[2], 0, ARGV[3])
    redis.call('RPUSH', KEYS[2], ARGV[3])
    redis.call('EXPIRE', KEYS[2], ARGV[4])
  end
  return {0, held}
end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[1])
return {1, ARGV[2]}
