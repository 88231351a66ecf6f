"""The Lua that makes steps and publications atomic; the keys of a lane share a tag."""

CLAIM = """
local current = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
local owner = redis.call('HGET', KEYS[1], 'owner')
if ARGV[1] ~= '' and current > tonumber(ARGV[1]) and owner ~= ARGV[2] then
  return {0, current}
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2])
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSETNX', KEYS[1], 'seq', 0)
return {1, epoch,
  unpack(redis.call('HMGET', KEYS[1], 'seq', 'next_offset', 'clock', 'pending', 'rescored'))}
"""

STEP = """
local lane = redis.call('HMGET', KEYS[1], 'epoch', 'seq')
local epoch, seq = tonumber(lane[1] or '0'), tonumber(lane[2] or '-1')
local expected = tonumber(ARGV[2])
if epoch ~= tonumber(ARGV[1]) then return {'epoch', epoch} end
if seq == expected + 1 then return {'applied', epoch} end
if seq ~= expected then return {'seq', epoch} end
redis.call('HSET', KEYS[1], 'seq', expected + 1, 'next_offset', ARGV[3], 'clock', ARGV[4],
  'pending', ARGV[5], 'rescored', ARGV[6])
local ttl, prefix, sizes = ARGV[7], tonumber(ARGV[8]) + 1, tonumber(ARGV[9])
local at = 10
for _ = 1, sizes do
  redis.call('HINCRBY', KEYS[3], ARGV[at], ARGV[at + 1])
  at = at + 2
end
local due = {}
for i = 4, #KEYS do
  local blob, score = ARGV[at], ARGV[at + 1]
  at = at + 2
  if blob == '' then
    redis.call('DEL', KEYS[i])
  else
    redis.call('SET', KEYS[i], blob, 'PX', ttl)
  end
  if score == '' then
    redis.call('ZREM', KEYS[2], string.sub(KEYS[i], prefix))
  else
    due[#due + 1] = score
    due[#due + 1] = string.sub(KEYS[i], prefix)
    if #due == 1000 then
      redis.call('ZADD', KEYS[2], unpack(due))
      due = {}
    end
  end
end
if #due > 0 then redis.call('ZADD', KEYS[2], unpack(due)) end
return {'applied', epoch}
"""

WRITE_SEGMENTS = """
local ttl, width = ARGV[1], tonumber(ARGV[2])
local names = {}
for i = 1, width do names[i] = ARGV[2 + i] end
local at = 2 + width
for _, key in ipairs(KEYS) do
  local version = tonumber(ARGV[at + 1])
  if version > tonumber(redis.call('HGET', key, 'version') or '0') then
    redis.call('DEL', key)
    if ARGV[at + 2] == '' then
      redis.call('HSET', key, 'version', ARGV[at + 1])
      redis.call('PEXPIRE', key, ttl)
    else
      local pairs = {}
      for i = 1, width do
        pairs[2 * i - 1] = names[i]
        pairs[2 * i] = ARGV[at + i]
      end
      redis.call('HSET', key, unpack(pairs))
    end
  end
  at = at + width
end
return #KEYS
"""

PUBLISH_MODEL = """
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
local current = tonumber(redis.call('GET', KEYS[2]) or '0')
if epoch == tonumber(ARGV[1]) and tonumber(ARGV[2]) == current then
  return {1, epoch, current}
end
if epoch ~= tonumber(ARGV[1]) or tonumber(ARGV[2]) <= current then
  return {0, epoch, current}
end
redis.call('SET', KEYS[3], ARGV[3])
redis.call('DEL', KEYS[4])
for i = 4, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('DEL', KEYS[5])
return {1, epoch, current}
"""
