-- What the scripts of leases share; it precedes each of them.
local LONGEST, OF_UNKNOWN, MAX_VALUE = 600000, 60000, 1024
-- The value of a lease, with its holder; false if nobody holds it. What can be no lease is removed, and no lease lasts
-- for longer than it was taken for, or ten minutes: its holder renews it every second.
local function held_by(lease)
  local kind = redis.call('TYPE', lease).ok
  if kind == 'none' then return false end
  if kind ~= 'string' or redis.call('STRLEN', lease) > MAX_VALUE then
    redis.call('UNLINK', lease)
    return false
  end
  local held = redis.call('GET', lease)
  local longest = math.min(tonumber(string.match(held, '^%x+/(%d+) ')) or OF_UNKNOWN, LONGEST)
  local left = redis.call('PTTL', lease)
  -- Negative: it has no end. Too long: somebody else wrote it, or Redis' clock was set back.
  if left < 0 or left > longest then redis.call('PEXPIRE', lease, longest) end
  return held
end
