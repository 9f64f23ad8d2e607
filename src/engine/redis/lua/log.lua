-- What all scripts share: names, ids, time, topics, and taking alerts out.
--
-- KEYS[1] is the log; every other key begins as it does, so that all lie in one slot. ARGV[1] is the time in
-- milliseconds, or empty for the server's own.

local base = string.sub(KEYS[1], 1, -4)
local LOG, STATE, ROWS, TOPICS = KEYS[1], base .. 'state', base .. 'rows', base .. 'topics'
local RECENT, REMOVED = base .. 'recent', base .. 'removed'
local IDEM, IDEM_AGE, LIVE = base .. 'idem', base .. 'idem-age', base .. 'live'
local VAULT, NODES = base .. 'keys', base .. 'nodes'

local function text(number) return string.format('%.0f', number) end

-- Deadlines go by the server's own clock.
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local now = clock
if ARGV[1] ~= '' then now = tonumber(ARGV[1]) end

local function parts(id)
  local dash = string.find(id, '-', 1, true)
  return string.sub(id, 1, dash - 1), string.sub(id, dash + 1)
end

-- Text that sorts as ids do; numbers of Lua are too small for them.
local function order(id)
  local ms, seq = parts(id)
  return string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #seq) .. seq
end

local function less(a, b) return order(a) < order(b) end

local function greatest(a, b) if less(a, b) then return b else return a end end

local function id_after(last)
  local ms, seq = parts(last)
  if tonumber(ms) < now then return text(now) .. '-0' end
  return ms .. '-' .. text(tonumber(seq) + 1)
end

local function get(field, default) return redis.call('HGET', STATE, field) or default end

local function set(...) redis.call('HSET', STATE, ...) end

-- How many keys of users there are; -1 where another hand has put something else in their place.
local function count_of_keys()
  local kind = redis.call('TYPE', VAULT).ok
  if kind == 'none' then return 0 end
  return kind == 'hash' and redis.call('HLEN', VAULT) or -1
end

local function index_of(topic) return base .. 't:' .. topic end

-- The newest id that the topic's limit took out, and the newest of each level.
local function row_of(topic)
  local row = redis.call('HGET', ROWS, topic)
  if not row then return nil end
  local trim, info, warn, err = string.match(row, '^(%S+) (%S+) (%S+) (%S+)$')
  if not err then return nil end
  return { trim = trim, [0] = info, [1] = warn, [2] = err }
end

local function set_row(topic, row)
  redis.call('HSET', ROWS, topic, row.trim .. ' ' .. row[0] .. ' ' .. row[1] .. ' ' .. row[2])
end

-- The fields of an entry: when it came in, its level, its topic, and the alert as it is sent.
local function entry_of(id)
  local found = redis.call('XRANGE', LOG, id, id)[1]
  return found and found[2]
end

-- What a node or reader gets of an entry, put at the end of a list.
local function add_alert(list, id, fields)
  for _, part in ipairs({ id, fields[2], fields[4], fields[6], fields[8] }) do list[#list + 1] = part end
end

local function oldest_id()
  local oldest = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
  return oldest and oldest[1] or ''
end

-- The patterns of a filter, which are the arguments from `first` on: each its kind (`*` all, `=` this one, `<` all below)
-- and its topic.
local function patterns(first)
  local list = {}
  for i = first, #ARGV do list[#list + 1] = { string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2) } end
  return list
end

-- The topics of a pattern that names them.
local function topics_of(pattern)
  if pattern[1] == '=' then return { pattern[2] } end
  -- `/` is the character behind `.`.
  return redis.call('ZRANGEBYLEX', TOPICS, '[' .. pattern[2] .. '.', '(' .. pattern[2] .. '/', 'LIMIT', 0, MAX_LATEST_TOPICS)
end

-- The newest id that is missing for these patterns.
local function trimmed_for(list)
  local trimmed, topic_trim = get('trim', '0-0'), get('topic_trim', '0-0')
  if not less(trimmed, topic_trim) then return trimmed end
  for _, pattern in ipairs(list) do
    if pattern[1] == '*' then return topic_trim end
    for _, topic in ipairs(topics_of(pattern)) do
      local row = row_of(topic)
      if row then trimmed = greatest(trimmed, row.trim) end
    end
  end
  return trimmed
end

local function is_known(id)
  return id == get('shown', '0-0') or id == get('trim', '0-0') or entry_of(id)
    or redis.call('ZSCORE', REMOVED, order(id)) ~= false
end

local function take_out(id, fields)
  local topic = fields[6]
  redis.call('XDEL', LOG, id)
  redis.call('XDEL', index_of(topic), id)
  if redis.call('XLEN', index_of(topic)) == 0 then
    redis.call('DEL', index_of(topic))
    redis.call('HDEL', ROWS, topic)
    redis.call('ZREM', TOPICS, topic)
    redis.call('ZREM', RECENT, topic)
  end
  redis.call('HINCRBY', STATE, 'bytes', -#fields[8])
end

-- Retention of the whole log, a bounded number of alerts from its old end.
local function retain(age, count, bytes, most)
  local horizon = 0
  if age > 0 then horizon = tonumber(get('clock', '0')) - age end
  for _ = 1, most do
    local oldest = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
    if not oldest then return end
    local too_much = (count > 0 and redis.call('XLEN', LOG) > count)
      or (bytes > 0 and tonumber(get('bytes', '0')) > bytes)
    if not too_much and tonumber(oldest[2][2]) >= horizon then return end
    take_out(oldest[1], oldest[2])
    set('trim', greatest(get('trim', '0-0'), oldest[1]))
    redis.call('ZREMRANGEBYLEX', REMOVED, '-', '[' .. order(oldest[1]))
  end
end

-- A topic that is over its limit gives up its oldest.
local function retain_topic(topic, limit)
  while limit > 0 and redis.call('XLEN', index_of(topic)) > limit do
    local id = redis.call('XRANGE', index_of(topic), '-', '+', 'COUNT', 1)[1][1]
    local fields = entry_of(id)
    if fields then take_out(id, fields) else redis.call('XDEL', index_of(topic), id) end
    local row = row_of(topic)
    if row then
      row.trim = id
      set_row(topic, row)
    end
    set('topic_trim', greatest(get('topic_trim', '0-0'), id))
    redis.call('ZADD', REMOVED, 0, order(id))
    if redis.call('ZCARD', REMOVED) > MAX_REMOVED_IDS then redis.call('ZREMRANGEBYRANK', REMOVED, 0, 0) end
  end
end

local function forget_keys(most)
  for _ = 1, most do
    local oldest = redis.call('ZRANGE', IDEM_AGE, 0, 0, 'WITHSCORES')
    if not oldest[1] then return end
    if tonumber(oldest[2]) + IDEMPOTENCY_AGE_MS >= now and redis.call('ZCARD', IDEM_AGE) <= MAX_IDEMPOTENCY_KEYS then return end
    redis.call('ZREM', IDEM_AGE, oldest[1])
    redis.call('HDEL', IDEM, oldest[1])
  end
end

-- Makes everything up to an id visible, and tells the nodes: the epoch, the id before, and each alert.
local function announce(upto)
  local shown = get('shown', '0-0')
  if not less(shown, upto) then return end
  local lines = { get('epoch', '') .. ' ' .. shown }
  for _, entry in ipairs(redis.call('XRANGE', LOG, '(' .. shown, upto)) do
    local fields = entry[2]
    lines[#lines + 1] = table.concat({ entry[1], fields[2], fields[4], fields[6], fields[8] }, ' ')
  end
  set('shown', upto)
  redis.call('PUBLISH', LIVE, table.concat(lines, '\n'))
end
