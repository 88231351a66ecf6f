"""The Lua that makes steps and publications atomic; the keys of a lane share a tag."""


def _with_server(script: str) -> str:
    """A script that knows its server, which has another name after a restart or a fail-over.

    The name is empty where INFO is not allowed.
    """
    return f"""
local info = redis.pcall('INFO', 'server')
local server = type(info) == 'string' and string.match(info, 'run_id:(%x+)') or ''
{script}"""


CLAIM = _with_server("""
local current = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
local owner = redis.call('HGET', KEYS[1], 'owner')
if ARGV[1] ~= '' and current >= tonumber(ARGV[1]) and owner ~= ARGV[2] then
  return {0, current}
end
redis.call('HSET', KEYS[1], 'owner', ARGV[2], 'server', server)
local epoch = redis.call('HINCRBY', KEYS[1], 'epoch', 1)
redis.call('HSETNX', KEYS[1], 'seq', 0)
return {1, epoch,
  unpack(redis.call('HMGET', KEYS[1], 'seq', 'next_offset', 'clock', 'pending', 'reached'))}
""")

# In place of a profile; none is as short.
AS_IT_IS = b"="

STEP = _with_server("""
local lane = redis.call('HMGET', KEYS[1], 'epoch', 'seq', 'owner', 'server')
local epoch, seq = tonumber(lane[1] or '0'), tonumber(lane[2] or '-1')
local expected = tonumber(ARGV[2])
if epoch ~= tonumber(ARGV[1]) or lane[3] ~= ARGV[10] then return {'epoch', epoch} end
if lane[4] ~= server then return {'restarted', epoch} end
if seq == expected + 1 then return {'applied', epoch} end
if seq ~= expected then return {'seq', epoch} end
redis.call('HSET', KEYS[1], 'seq', expected + 1, 'next_offset', ARGV[3], 'clock', ARGV[4],
  'pending', ARGV[5], 'reached', ARGV[6])
local ttl, prefix, sizes = ARGV[7], tonumber(ARGV[8]) + 1, tonumber(ARGV[9])
local at = 11
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
  elseif blob ~= '=' then
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
""")

SCAN = _with_server("""
-- A cursor means nothing to another server, nor to this one after a restart.
local cursor = ARGV[1] == server and ARGV[2] or '0'
local page = redis.call('ZSCAN', KEYS[1], cursor, 'COUNT', ARGV[3])
return {server, page[1], page[2]}
""")

# Of each page the number of its arguments, then its fields: version first, id where it has one.
WRITE_SEGMENTS = """
local ttl, at = ARGV[1], 2
for _, key in ipairs(KEYS) do
  local width = tonumber(ARGV[at])
  local version = tonumber(ARGV[at + 2])
  if version > tonumber(redis.call('HGET', key, 'version') or '0') then
    redis.call('DEL', key)
    redis.call('HSET', key, unpack(ARGV, at + 1, at + width))
    if width == 2 then redis.call('PEXPIRE', key, ttl) end
  end
  at = at + 1 + width
end
return #KEYS
"""

SHOW_SEGMENTS = """
local at = 2
for _, key in ipairs(KEYS) do
  local width = tonumber(ARGV[at])
  local found = redis.call('HMGET', key, 'version', 'id')
  if found[1] == ARGV[at + 2] and found[2] then
    redis.call('HDEL', key, 'landing_page', 'offer', 'message', 'tags')
    redis.call('HSET', key, unpack(ARGV, at + 1, at + width))
  end
  at = at + 1 + width
end
return #KEYS
"""

FENCE = """
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
redis.call('HSET', KEYS[1], 'epoch', string.format('%d', math.max(epoch + 1, tonumber(ARGV[1]))))
return redis.call('HGET', KEYS[1], 'pending')
"""

PUBLISH_MODEL = """
local epoch = tonumber(redis.call('HGET', KEYS[1], 'epoch') or '0')
local current = tonumber(redis.call('GET', KEYS[2]) or '0')
local version = tonumber(ARGV[2])
-- The same bytes are in force: they were sent twice, and the first answer was lost. Two operators
-- who go back in the same millisecond make the same bytes as well.
local holder = ARGV[5] == '' or redis.call('HGET', KEYS[1], 'holder') == ARGV[5]
if holder and version == current and redis.call('GET', KEYS[3]) == ARGV[3] then
  return {1, epoch, current}
end
if epoch ~= tonumber(ARGV[1]) or version <= current then return {0, epoch, current} end
if ARGV[4] ~= '' then
  redis.call('HSET', KEYS[1], 'epoch', ARGV[4], 'hold', ARGV[4], 'holder', ARGV[5])
end
redis.call('SET', KEYS[3], ARGV[3])
redis.call('DEL', KEYS[4])
for i = 6, #ARGV, 2 do redis.call('HSET', KEYS[4], ARGV[i], ARGV[i + 1]) end
redis.call('SET', KEYS[2], ARGV[2])
for i = 5, #KEYS do redis.call('DEL', KEYS[i]) end
return {1, epoch, current}
"""

# Labels by segment id, an empty one takes what is there away; all of them or none.
WRITE_LABELS = """
if (redis.call('HGET', KEYS[1], 'revision') or '0') ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 2 do
  if ARGV[i + 1] == '' then
    redis.call('HDEL', KEYS[1], ARGV[i])
  else
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
redis.call('HINCRBY', KEYS[1], 'revision', 1)
return 1
"""

# Cards say what a model and labels say: they are left alone when either has gone on.
WRITE_CARDS = """
if (redis.call('GET', KEYS[1]) or '0') ~= ARGV[1] then return 0 end
if (redis.call('HGET', KEYS[2], 'revision') or '0') ~= ARGV[2] then return 0 end
redis.call('DEL', KEYS[3])
for i = 3, #ARGV, 2 do redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1]) end
return 1
"""
