"""The Lua scripts: each is one atomic step on the keys of one slot.

Where memory is short Redis refuses a script's first write, so the first write of a script that adds is one that may be
refused (nothing is half-written), and the first write of one that erases is a deletion (erasing always works).
"""

from hashlib import sha1

# One user's state. KEYS meta log seen erased · ARGV user key, limit.
READ = """
local m = redis.call('HMGET', KEYS[1], 'v', 'p', 'x', 's', 'w')
local l = redis.call('ZRANGE', KEYS[2], -tonumber(ARGV[2]), -1)
local s = redis.call('SMEMBERS', KEYS[3])
return {m[1], m[2], m[3], m[4], m[5], redis.call('HGET', KEYS[4], ARGV[1]),
        '[' .. table.concat(l, ',') .. ']', table.concat(s, '\\0')}
"""

# One event. KEYS meta log seen ids seq stream · ARGV event id, event, past, timestamp, item id ('': none), user key.
APPEND = """
if redis.call('HEXISTS', KEYS[4], ARGV[1]) == 1 then return 0 end
local v = redis.call('INCR', KEYS[5])
redis.call('HSET', KEYS[1], 'v', v)
local id = redis.call('XADD', KEYS[6], '*', 'k', ARGV[6], 'd', ARGV[2])
redis.call('HSET', KEYS[4], ARGV[1], id .. ' ' .. ARGV[2])
if ARGV[5] ~= '' then redis.call('SADD', KEYS[3], ARGV[5]) end
redis.call('ZADD', KEYS[2], ARGV[4], '["' .. string.format('%015.0f', v) .. '",' .. ARGV[3])
return 1
"""

# Cache a vector. KEYS meta erased · ARGV user key, vector, stamp, version.
WRITE_VECTOR = """
local floor = tonumber(redis.call('HGET', KEYS[1], 'w') or 0)
local mark = redis.call('HGET', KEYS[2], ARGV[1])
if mark then floor = math.max(floor, tonumber(string.match(mark, '^%d+'))) end
if tonumber(ARGV[4]) < floor then return 0 end
redis.call('HSET', KEYS[1], 'x', ARGV[2], 's', ARGV[3], 'w', ARGV[4])
return 1
"""

# Set a profile; with ARGV[2] not empty only over that very profile. KEYS meta seq · ARGV profile, expected.
# Returns 1 created, 0 replaced, -1 another profile is there.
PUT_PROFILE = """
local old = redis.call('HGET', KEYS[1], 'p')
if ARGV[2] ~= '' and old ~= ARGV[2] then return -1 end
redis.call('HSET', KEYS[1], 'v', redis.call('INCR', KEYS[2]), 'p', ARGV[1])
return old and 0 or 1
"""

# Erase a user, at the server's time, as in stream ids. KEYS meta log seen ids seq stream erased · ARGV user key.
# Returns events, stream entries, seen items, profile, vector.
ERASE = """
local found = {redis.call('HLEN', KEYS[4]), 0, redis.call('SCARD', KEYS[3]),
               redis.call('HEXISTS', KEYS[1], 'p'), redis.call('HEXISTS', KEYS[1], 'x')}
local ids = {}
for at, packed in ipairs(redis.call('HVALS', KEYS[4])) do ids[at] = string.match(packed, '^%S+') end
redis.call('DEL', KEYS[1], KEYS[2], KEYS[3], KEYS[4])
for from = 1, #ids, 1000 do
  found[2] = found[2] + redis.call('XDEL', KEYS[6], unpack(ids, from, math.min(from + 999, #ids)))
end
local now = redis.call('TIME')
redis.call('HSET', KEYS[7], ARGV[1],
           string.format('%.0f %d.%06d', redis.call('INCR', KEYS[5]), tonumber(now[1]), tonumber(now[2])))
return found
"""

# Store an item and note the change. KEYS items order seq · ARGV item id, record, expected version or ''.
PUT_ITEM = """
if ARGV[3] ~= '' and tonumber(redis.call('ZSCORE', KEYS[2], ARGV[1]) or 0) ~= tonumber(ARGV[3]) then return 0 end
local v = redis.call('INCR', KEYS[3])
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZADD', KEYS[2], v, ARGV[1])
return v
"""

# One item with its version. KEYS items order · ARGV item id.
GET_ITEM = """
return {redis.call('HGET', KEYS[1], ARGV[1]), redis.call('ZSCORE', KEYS[2], ARGV[1])}
"""

# Items changed after a cursor. KEYS items order seq active · ARGV cursor, limit.
# Returns where it began, active bundle, versions and records in order of change.
ITEMS_SINCE = """
local from = tonumber(ARGV[1])
if from > tonumber(redis.call('GET', KEYS[3]) or 0) then from = 0 end
local found = redis.call('ZRANGEBYSCORE', KEYS[2], string.format('(%.0f', from), '+inf',
                         'WITHSCORES', 'LIMIT', 0, tonumber(ARGV[2]))
local versions, records = {}, {}
for at = 1, #found, 2 do
  records[#records + 1] = redis.call('HGET', KEYS[1], found[at])
  versions[#versions + 1] = found[at + 1]
end
return {from, redis.call('GET', KEYS[4]), versions, records}
"""

# Make a bundle the active one. KEYS active activated · ARGV version, activation.
ACTIVATE = """
redis.call('SET', KEYS[1], ARGV[1])
redis.call('LPUSH', KEYS[2], ARGV[2])
redis.call('LTRIM', KEYS[2], 0, 99)
"""

# SHA-1 is Redis's name for a script, not a protection of anything.
SOURCES: dict[str, str] = {
    sha1(source.encode(), usedforsecurity=False).hexdigest(): source
    for source in (READ, APPEND, WRITE_VECTOR, PUT_PROFILE, ERASE, PUT_ITEM, GET_ITEM, ITEMS_SINCE, ACTIVATE)
}
DIGESTS: dict[str, str] = {source: digest for digest, source in SOURCES.items()}
