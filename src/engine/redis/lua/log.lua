-- The part that all scripts share: names, the schema, ids, time, and topics.
--
-- KEYS[1] is the log; every other key has the same prefix, so that all are in one slot. ARGV[1] is the time in
-- milliseconds, or empty for the server's own. A line of constants, generated from the Rust sources, precedes this file.
--
-- Schema. The field `schema` of the hash `state` has the number of the stored formats; without it the number is 0. A
-- script refuses a number outside OLDEST_SCHEMA to SCHEMA before it changes anything. `tick.lua` raises the number only
-- when every listed node knows the higher one, so a fleet is upgraded node by node. Formats:
--   log      stream; an entry has the fields ms, level, topic, alert in this order, then any others. A field `user` names
--            who published it; without it that is not known. A field `kind` names an entry that is not an alert; a reader
--            that does not know the kind refuses it by name. From schema 2 on there is the kind `transition`: a change of
--            an incident, of the highest level; from schema 3 on the kind `retraction`, of the highest level too, with a
--            field `of`: the id of the alert that it takes back
--   log-copy  stream: the part of the log that was copied, while the log is rewritten; see `rewrite.lua`
--   t:TOPIC  stream, an index of the log: the id of each alert of a topic, with its level; an entry that is not an alert has
--            its kind as a second field
--   rows     hash by topic: the newest id that the topic's limit removed, the newest id of each level, then any others
--   idem     hash by idempotency key: fingerprint, id, ms, owner, then any others; idem-age sorts the same keys by time,
--            idem-of:OWNER those of one user, and idem-users the users by their number of keys
--   nodes    hash by node: ms, lag, streams, version, schema, then any others
--   topics, recent, removed  sorted sets: topics by name, topics by time, ids removed by a topic's limit or taken back
--   retracted  hash by the id of an alert that is taken back, or about to be: the id of the retraction, a space, the topic.
--            It has an alert for as long as the log has the retraction; written from schema 3 on
--   state    hash: schema, epoch, head, shown (the newest id that nodes may see), trim, topic_trim, bytes, clock,
--            rewrite_due (what was taken back may be in the memory of the log: 0 while it is rewritten for that), rewrite_began, ...
--   keys     hash of the keys of users, whose format is the keyring's
--   expectations  hash by topic of what is expected there, whose format is the service's; its revision is in state
--   incidents, incidents-...  see `incident.lua`; written from schema 2 on
-- Schemas 0 and 1 differ in the number alone. While the number is below 2, a node that knows only 1 may be running, so
-- nothing is written about incidents; while it is below 3, nothing is taken back.

local base = string.sub(KEYS[1], 1, -4)
local LOG, COPY, STATE, ROWS = KEYS[1], base .. 'log-copy', base .. 'state', base .. 'rows'
local TOPICS, RECENT, REMOVED, RETRACTED = base .. 'topics', base .. 'recent', base .. 'removed', base .. 'retracted'
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

-- The value of one of the fields that not every entry has.
local function further(fields, name)
  for i = 9, #fields - 1, 2 do
    if fields[i] == name then return fields[i + 1] end
  end
end

-- An entry as nodes and readers get it: id, ms, level, topic, alert. An entry that is not an alert has `?` and its kind
-- as its level, so that whoever does not know the kind can name it.
local function parts_of(id, fields)
  local level, kind = fields[4], further(fields, 'kind')
  if kind and kind ~= 'alert' then level = '?' .. kind end
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

-- Whether the log had this id, and still has what was around it.
local function is_removed(id)
  return redis.call('ZSCORE', REMOVED, order(id)) ~= false or redis.call('HEXISTS', RETRACTED, id) == 1
end

-- Whether an alert was taken back. One that is about to be is still there.
local function is_retracted(id)
  return redis.call('HEXISTS', RETRACTED, id) == 1 and not entry_of(id)
end

local function is_known(id)
  return id == get('shown', '0-0') or id == get('trim', '0-0') or entry_of(id) or is_removed(id)
end

