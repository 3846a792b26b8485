-- The holder of a lease. KEYS: lease. Returns its token, or nil.
return {held_by(KEYS[1])}
