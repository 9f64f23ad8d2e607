-- The part that all scripts share: names, the schema, ids, time, topics, and removing alerts.
--
-- KEYS[1] is the log; every other key has the same prefix, so that all are in one slot. ARGV[1] is the time in
-- milliseconds, or empty for the server's own. A line of constants, generated from the Rust sources, precedes this file.
--
-- Schema. The field `schema` of the hash `state` has the number of the stored formats; without it the number is 0. A
-- script refuses a number outside OLDEST_SCHEMA to SCHEMA before it changes anything. `tick.lua` raises the number only
-- when every listed node knows the higher one, so a fleet is upgraded node by node. Formats:
--   log      stream; an entry has the fields ms, level, topic, alert in this order, then any others. A field `kind` names
--            an entry that is not an alert; a reader that does not know the kind refuses it by name. From schema 2 on there
--            is the kind `transition`: a change of an incident, of the highest level.
--   t:TOPIC  stream, an index of the log: the id of each alert of a topic, with its level; an entry that is not an alert has
--            its kind as a second field
--   rows     hash by topic: the newest id that the topic's limit removed, the newest id of each level, then any others
--   idem     hash by idempotency key: fingerprint, id, ms, owner, then any others; idem-age sorts the same keys by time,
--            idem-of:OWNER those of one user, and idem-users the users by their number of keys
--   nodes    hash by node: ms, lag, streams, version, schema, then any others
--   topics, recent, removed  sorted sets: topics by name, topics by time, ids removed by a topic's limit
--   state    hash: schema, epoch, head, shown (the newest id that nodes may see), trim, topic_trim, bytes, clock, ...
--   keys     hash of the keys of users, whose format is the keyring's
--   expectations  hash by topic of what is expected there, whose format is the service's; its revision is in state
--   incidents, incidents-...  see `incident.lua`; written from schema 2 on
-- Schemas 0 and 1 differ in the number alone. While the number is below 2, a node that knows only 1 may be running, so
-- nothing is written about incidents.

local base = string.sub(KEYS[1], 1, -4)
local LOG, STATE, ROWS, TOPICS = KEYS[1], base .. 'state', base .. 'rows', base .. 'topics'
local RECENT, REMOVED = base .. 'recent', base .. 'removed'
local IDEM, IDEM_AGE, IDEM_USERS = base .. 'idem', base .. 'idem-age', base .. 'idem-users'
local LIVE, SHARED_KEYS, NODES = base .. 'live', base .. 'keys', base .. 'nodes'

local schema = redis.call('HGET', STATE, 'schema') or '0'
if not tonumber(schema) or tonumber(schema) > SCHEMA or tonumber(schema) < OLDEST_SCHEMA then
  return redis.error_reply('SCHEMA ' .. schema .. ' is not supported')
end

local function text(number) return string.format('%.0f', number) end

-- Deadlines always use the server's own clock.
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local now = clock
if ARGV[1] ~= '' then now = tonumber(ARGV[1]) end

local function parts(id)
  local dash = string.find(id, '-', 1, true)
  return string.sub(id, 1, dash - 1), string.sub(id, dash + 1)
end

-- A text that sorts as the ids do; they do not fit into the numbers of Lua.
local function order(id)
  local ms, seq = parts(id)
  return string.rep('0', 20 - #ms) .. ms .. '-' .. string.rep('0', 20 - #seq) .. seq
end

-- Of two numbers without leading zeros the longer one is greater.
local function less_text(a, b)
  if #a ~= #b then return #a < #b end
  return a < b
end

local function less(a, b)
  local a_ms, a_seq = parts(a)
  local b_ms, b_seq = parts(b)
  if a_ms ~= b_ms then return less_text(a_ms, b_ms) end
  return less_text(a_seq, b_seq)
end

local function greatest(a, b) if less(a, b) then return b else return a end end

local function id_after(last)
  local ms, seq = parts(last)
  if tonumber(ms) < now then return text(now) .. '-0' end
  return ms .. '-' .. text(tonumber(seq) + 1)
end

local function get(field, default) return redis.call('HGET', STATE, field) or default end

local function set(...) redis.call('HSET', STATE, ...) end

-- The number of keys of users; -1 if another program has put something else in their place.
local function count_of_keys()
  local kind = redis.call('TYPE', SHARED_KEYS).ok
  if kind == 'none' then return 0 end
  return kind == 'hash' and redis.call('HLEN', SHARED_KEYS) or -1
end

local function index_of(topic) return base .. 't:' .. topic end

-- The newest id that the topic's limit removed, and the newest id of each level.
local function row_of(topic)
  local row = redis.call('HGET', ROWS, topic)
  if not row then return nil end
  local trim, info, warn, err, others = string.match(row, '^(%S+) (%S+) (%S+) (%S+)(.*)$')
  if not err then return nil end
  return { trim = trim, [0] = info, [1] = warn, [2] = err, others = others }
end

local function set_row(topic, row)
  redis.call('HSET', ROWS, topic, row.trim .. ' ' .. row[0] .. ' ' .. row[1] .. ' ' .. row[2] .. row.others)
end

-- The fields of an entry; an even number holds a value, the odd one before it its name.
local function entry_of(id)
  local found = redis.call('XRANGE', LOG, id, id)[1]
  return found and found[2]
end

-- An entry as nodes and readers get it: id, ms, level, topic, alert. An entry that is not an alert has `?` and its kind
-- as its level, so that whoever does not know the kind can name it.
local function parts_of(id, fields)
  local level = fields[4]
  for i = 9, #fields - 1, 2 do
    if fields[i] == 'kind' and fields[i + 1] ~= 'alert' then level = '?' .. fields[i + 1] end
  end
  return { id, fields[2] or '', level or '', fields[6] or '', fields[8] or '' }
end

-- Bytes of an entry's alert; 0 for an entry that alertd did not write.
local function size_of(fields) return #(fields[8] or '') end

local function add_alert(list, id, fields)
  for _, part in ipairs(parts_of(id, fields)) do list[#list + 1] = part end
end

local function oldest_id()
  local oldest = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
  return oldest and oldest[1] or ''
end

-- The patterns of a filter, which are the arguments from `first` on: each has a kind (`*` all topics, `=` one topic, `<` all
-- topics below one) and a topic.
local function patterns(first)
  local list = {}
  for i = first, #ARGV do list[#list + 1] = { string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2) } end
  return list
end

-- The first topics that a pattern other than `*` selects.
local function topics_of(pattern, limit)
  if pattern[1] == '=' then return { pattern[2] } end
  -- `/` is the character after `.`.
  return redis.call('ZRANGEBYLEX', TOPICS, '[' .. pattern[2] .. '.', '(' .. pattern[2] .. '/', 'LIMIT', 0, limit)
end

-- The newest removed id that may have passed these patterns, for a reader that continues after `cursor`. Exact only where it
-- matters: nothing that a topic's limit removed is newer than `topic_trim`.
local function trimmed_for(list, cursor)
  local trimmed, topic_trim = get('trim', '0-0'), get('topic_trim', '0-0')
  if not less(trimmed, topic_trim) then return trimmed end
  if cursor ~= '' and not less(cursor, topic_trim) then return topic_trim end
  local left = MAX_TRIMMED_TOPICS
  for _, pattern in ipairs(list) do
    if pattern[1] == '*' then return topic_trim end
    local topics = topics_of(pattern, left + 1)
    left = left - #topics
    if left < 0 then return topic_trim end
    for _, topic in ipairs(topics) do
      local row = row_of(topic)
      if row then trimmed = greatest(trimmed, row.trim) end
      if trimmed == topic_trim then return trimmed end
    end
  end
  return trimmed
end

local function is_known(id)
  return id == get('shown', '0-0') or id == get('trim', '0-0') or entry_of(id)
    or redis.call('ZSCORE', REMOVED, order(id)) ~= false
end

local function remove(id, fields)
  local topic = fields[6] or ''
  redis.call('XDEL', LOG, id)
  redis.call('XDEL', index_of(topic), id)
  if redis.call('XLEN', index_of(topic)) == 0 then
    redis.call('DEL', index_of(topic))
    redis.call('HDEL', ROWS, topic)
    redis.call('ZREM', TOPICS, topic)
    redis.call('ZREM', RECENT, topic)
  end
  redis.call('HINCRBY', STATE, 'bytes', -size_of(fields))
end

-- Number and bytes of the alerts that wait for the replicas: retention does not count what may be taken out again.
local function unsettled()
  local shown = get('shown', '0-0')
  if shown == get('head', '0-0') then return 0, 0 end
  local waiting, bytes = redis.call('XRANGE', LOG, '(' .. shown, '+', 'COUNT', 500), 0
  for _, entry in ipairs(waiting) do bytes = bytes + #entry[2][8] end
  return #waiting, bytes
end

-- Retention of the whole log: removes a bounded number of the oldest alerts.
local function retain(age, count, bytes, limit)
  local oldest_kept_ms = 0
  if age > 0 then oldest_kept_ms = tonumber(get('clock', '0')) - age end
  local waiting, waiting_bytes = unsettled()
  for _ = 1, limit do
    local oldest = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
    if not oldest then return end
    local too_much = (count > 0 and redis.call('XLEN', LOG) - waiting > count)
      or (bytes > 0 and tonumber(get('bytes', '0')) - waiting_bytes > bytes)
    if not too_much and tonumber(oldest[2][2]) >= oldest_kept_ms then return end
    remove(oldest[1], oldest[2])
    set('trim', greatest(get('trim', '0-0'), oldest[1]))
    redis.call('ZREMRANGEBYLEX', REMOVED, '-', '[' .. order(oldest[1]))
  end
end

-- Removes the oldest alerts of a topic that is over its limit.
local function retain_topic(topic, limit)
  while limit > 0 and redis.call('XLEN', index_of(topic)) > limit do
    local id = redis.call('XRANGE', index_of(topic), '-', '+', 'COUNT', 1)[1][1]
    local fields = entry_of(id)
    if fields then remove(id, fields) else redis.call('XDEL', index_of(topic), id) end
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

local function keys_of(owner) return base .. 'idem-of:' .. owner end

local function count_keys(owner)
  local number = redis.call('ZCARD', keys_of(owner))
  if number == 0 then redis.call('ZREM', IDEM_USERS, owner) else redis.call('ZADD', IDEM_USERS, number, owner) end
end

-- The owner of an idempotency key; none for one that a version stored which did not name it.
local function owner_of(key)
  local row = redis.call('HGET', IDEM, key)
  return row and string.match(row, '^%S+ %S+ %S+ (%S+)')
end

local function forget_key(key, owner)
  owner = owner or owner_of(key)
  redis.call('ZREM', IDEM_AGE, key)
  redis.call('HDEL', IDEM, key)
  if owner then
    redis.call('ZREM', keys_of(owner), key)
    count_keys(owner)
  end
end

-- Forgets idempotency keys that are too old. If there are too many, the user with the most loses the oldest.
local function forget_keys(limit)
  for _ = 1, limit do
    local oldest = redis.call('ZRANGE', IDEM_AGE, 0, 0, 'WITHSCORES')
    if not oldest[1] then return end
    if tonumber(oldest[2]) + IDEMPOTENCY_AGE_MS < now then
      forget_key(oldest[1])
    elseif redis.call('ZCARD', IDEM_AGE) <= MAX_IDEMPOTENCY_KEYS then
      return
    else
      local most = owner_of(oldest[1]) and redis.call('ZREVRANGE', IDEM_USERS, 0, 0)[1]
      local own = most and redis.call('ZRANGE', keys_of(most), 0, 0)[1]
      if own then forget_key(own, most) else forget_key(oldest[1]) end
    end
  end
end

-- Makes everything up to an id visible, and announces it to the nodes: the epoch and the id before, then a line per alert.
local function announce(upto)
  local visible = get('shown', '0-0')
  if not less(visible, upto) then return end
  local lines = { get('epoch', '') .. ' ' .. visible }
  for _, entry in ipairs(redis.call('XRANGE', LOG, '(' .. visible, upto)) do
    lines[#lines + 1] = table.concat(parts_of(entry[1], entry[2]), ' ')
  end
  set('shown', upto)
  redis.call('PUBLISH', LIVE, table.concat(lines, '\n'))
end

-- Whether an id that a node has seen is gone with a part of the log, or has another alert than the node has seen, which is
-- empty if the node knows the id alone. The ids that limits of topics removed are remembered up to a number; one that is older
-- than all of these counts as removed.
local function is_lost(id, alert)
  local fields = alert ~= '' and entry_of(id)
  if fields then return fields[8] ~= alert end
  if is_known(id) then return false end
  if redis.call('ZCARD', REMOVED) < MAX_REMOVED_IDS then return true end
  return order(id) > redis.call('ZRANGE', REMOVED, 0, 0)[1]
end

-- Compares the log with the newest id that a node has seen and its alert. If that one was lost with a part of the log, or with all of it,
-- all readers are behind a gap from here on, and new ids are above the lost ones. Called before anything is stored: an id
-- that is stored below a lost one would hide the loss.
local function look_back(epoch, seen, alert)
  if seen == '0-0' then return end
  local is_other = epoch ~= get('epoch', '')
  if less(get('trim', '0-0'), seen) and (is_other or is_lost(seen, alert)) then
    local cut = id_after(greatest(get('head', '0-0'), seen))
    set('head', cut, 'shown', cut, 'trim', cut)
  elseif not is_other and less(get('shown', '0-0'), seen) then
    -- A replica took over that had received the alerts, but not yet that they are visible.
    announce(seen)
  end
end

-- What a store removes once its alerts are safe: from the topics that it touched, from the log, of the idempotency keys.
-- The alerts are stored by then: a slot that is being moved may refuse the rest, which a later call makes up for.
local function retain_after(touched, age, count, bytes, topic_count, stored)
  pcall(function()
    for topic in pairs(touched) do retain_topic(topic, topic_count) end
    retain(age, count, bytes, 2 * stored)
    forget_keys(2 * stored)
  end)
end
