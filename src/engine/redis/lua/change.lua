-- How the log is changed: removing records, retention, and making records visible. Shared by the scripts that do so.

-- The shortest time between the beginnings of two rewrites of the log, milliseconds: half a minute, so that what is taken back
-- just after a rewrite has begun is gone within a minute too.
local REWRITE_INTERVAL_MS = 30000

local function remove(id, fields)
  local topic, of = fields[6] or '', further(fields, 'of')
  redis.call('XDEL', LOG, id)
  -- While the log is rewritten, the copy is the log as far as it goes.
  redis.call('XDEL', COPY, id)
  redis.call('XDEL', index_of(topic), id)
  if redis.call('XLEN', index_of(topic)) == 0 then
    redis.call('DEL', index_of(topic))
    redis.call('HDEL', ROWS, topic)
    redis.call('ZREM', TOPICS, topic)
    redis.call('ZREM', RECENT, topic)
  end
  redis.call('HINCRBY', STATE, 'bytes', -size_of(fields))
  local retraction = of and redis.call('HGET', RETRACTED, of)
  if retraction and string.match(retraction, '^%S+') == id then redis.call('HDEL', RETRACTED, of) end
end

-- The newest id of a topic's level; an index holds ids and levels alone, so a long way is short.
local function newest_of(topic, level)
  local before = '+'
  for _ = 1, 100 do
    local list = redis.call('XREVRANGE', index_of(topic), before, '-', 'COUNT', 100)
    for _, entry in ipairs(list) do
      if #entry[2] == 2 and tonumber(entry[2][2]) == level then return entry[1] end
    end
    if #list < 100 then break end
    before = '(' .. list[100][1]
  end
  return '0-0'
end

-- Removes an entry from among others that stay, and returns what it was.
local function take_out(id)
  local fields = entry_of(id)
  if not fields then return end
  remove(id, fields)
  local topic, level = fields[6] or '', tonumber(fields[4])
  local row = level and row_of(topic)
  if row and row[level] == id then
    row[level] = newest_of(topic, level)
    set_row(topic, row)
  end
  return fields
end

local function remember_removed(id)
  redis.call('ZADD', REMOVED, 0, order(id))
  if redis.call('ZCARD', REMOVED) > MAX_REMOVED_IDS then redis.call('ZREMRANGEBYRANK', REMOVED, 0, 0) end
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
    remember_removed(id)
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

-- Replaces the fingerprint of an alert under its idempotency key, from which a short text could be guessed, by one that no
-- alert has. The fingerprint of a state, which has a mark, says nothing about the alert and is needed to recognise the state.
local function forget_fingerprint(id, ms)
  for _, key in ipairs(redis.call('ZRANGEBYSCORE', IDEM_AGE, ms, ms, 'LIMIT', 0, 1000)) do
    local row = redis.call('HGET', IDEM, key)
    local rest = row and string.match(row, '^%x+( %S+ .*)$')
    if rest and string.match(rest, '^ (%S+)') == id then redis.call('HSET', IDEM, key, string.rep('0', 64) .. rest) end
  end
end

-- Whether the log is to be rewritten now, or is being rewritten.
local function is_rewrite_due()
  if redis.call('EXISTS', COPY) == 1 then return true end
  local began = tonumber(get('rewrite_began', '0'))
  return get('rewrite_due') ~= nil and (clock < began or clock - began >= REWRITE_INTERVAL_MS)
end

-- Takes back the alerts that retractions among these entries name. The ids stay known. Redis still has the content then, also
-- that of an alert that a limit removed before.
local function take_back(entries)
  for _, entry in ipairs(entries) do
    local id = further(entry[2], 'of')
    if id then set('rewrite_due', '1') end
    local fields = id and take_out(id)
    if fields then
      remember_removed(id)
      forget_fingerprint(id, fields[2])
    end
  end
end

-- Makes everything up to an id visible, and announces it to the nodes: the epoch and the id before, then a line per alert.
-- What a retraction takes back is gone when the retraction is visible, and there for as long as it may still be undone.
local function announce(upto)
  local visible = get('shown', '0-0')
  if not less(visible, upto) then return end
  local lines, entries = { get('epoch', '') .. ' ' .. visible }, redis.call('XRANGE', LOG, '(' .. visible, upto)
  for _, entry in ipairs(entries) do lines[#lines + 1] = table.concat(parts_of(entry[1], entry[2]), ' ') end
  take_back(entries)
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
    -- What waits for the replicas becomes visible too.
    take_back(redis.call('XRANGE', LOG, '(' .. get('shown', '0-0'), '+'))
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
