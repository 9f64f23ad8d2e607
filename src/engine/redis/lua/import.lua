-- Adds parts of a backup to a log beside the one in use.
--
-- KEYS are those of the new log. ARGV: time, then the parts, each a letter and its values:
--   s epoch trim clock                 the beginning
--   a id ms level topic alert user kind of   a record; user and `of` may be empty
--   r id                               an id whose alert is gone
--   l upto                             alerts before this id may be lost
--   t topic id                         the limit of a topic removed its alerts up to this id
--   i field row                        an incident
--   k key fingerprint id ms            an idempotency key
--   u id key                           a key of a user
--   e until                            the end, with the newest id
-- Returns nothing.

local add = {}

function add.s(epoch, trim, time_of_retention)
  set('schema', text(SCHEMA), 'epoch', epoch, 'trim', trim, 'head', trim, 'shown', trim)
  set('clock', time_of_retention, 'bytes', '0')
end

function add.a(id, ms, level, topic, alert, user, kind, of)
  local entry, index = { 'ms', ms, 'level', level, 'topic', topic, 'alert', alert }, { 'l', level }
  if user ~= '' then entry[9], entry[10] = 'user', user end
  if kind ~= 'alert' then
    entry[#entry + 1], entry[#entry + 2] = 'kind', kind
    index[3], index[4] = 'kind', kind
  end
  if of ~= '' then entry[#entry + 1], entry[#entry + 2] = 'of', of end
  redis.call('XADD', LOG, id, unpack(entry))
  redis.call('XADD', index_of(topic), id, unpack(index))
  local row = row_of(topic) or { trim = '0-0', [0] = '0-0', [1] = '0-0', [2] = '0-0', others = '' }
  if kind == 'alert' then
    redis.call('ZADD', RECENT, ms, topic)
    row[tonumber(level)] = id
  end
  set_row(topic, row)
  redis.call('ZADD', TOPICS, 0, topic)
  redis.call('HINCRBY', STATE, 'bytes', #alert)
  if of ~= '' then
    redis.call('HSET', RETRACTED, of, id .. ' ' .. topic)
    if take_out(of) then set('rewrite_due', '1') end
    remember_removed(of)
  end
end

add.r = remember_removed

-- The log has no other way to tell a reader that something before an id may be missing.
function add.l(upto) set('trim', greatest(get('trim', '0-0'), upto)) end

function add.t(topic, upto)
  set('topic_trim', greatest(get('topic_trim', '0-0'), upto))
  -- A limit may have removed alerts after they were read for the backup.
  for _, entry in ipairs(redis.call('XRANGE', index_of(topic), '-', upto)) do
    local fields = entry_of(entry[1])
    if fields then remove(entry[1], fields) end
    remember_removed(entry[1])
  end
  local row = row_of(topic)
  if row then
    row.trim = upto
    set_row(topic, row)
  end
end

add.i = put_row

function add.k(key, fingerprint, id, ms)
  redis.call('HSET', IDEM, key, table.concat({ fingerprint, id, ms }, ' '))
  redis.call('ZADD', IDEM_AGE, ms, key)
end

function add.u(id, key) redis.call('HSET', SHARED_KEYS, id, key) end

function add.e(upto) set('head', upto, 'shown', upto) end

local VALUES = { s = 3, a = 8, r = 1, l = 1, t = 2, i = 2, k = 4, u = 2, e = 1 }
local at = 2
while at <= #ARGV do
  local kind = ARGV[at]
  local count = VALUES[kind]
  add[kind](unpack(ARGV, at + 1, at + count))
  at = at + 1 + count
end
return {}
