-- How records are added to the log; shared by the scripts that store.

-- The newest id of the log; the script that stores sets it first.
local head
-- Topics with a new record, and the number of new records.
local touched, stored = {}, 0

local function two(number) return string.format('%02d', number) end

-- The time in the format of an alert, RFC 3339.
local function written(ms)
  local days, rest = math.floor(ms / 86400000), ms % 86400000
  -- Computed in a calendar whose years begin in March, in eras of 400 years.
  local shifted = days + 719468
  local era = math.floor(shifted / 146097)
  local of_era = shifted - era * 146097
  local year = math.floor((of_era - math.floor(of_era / 1460) + math.floor(of_era / 36524) - math.floor(of_era / 146096)) / 365)
  local of_year = of_era - (365 * year + math.floor(year / 4) - math.floor(year / 100))
  local month = math.floor((5 * of_year + 2) / 153)
  local day = of_year - math.floor((153 * month + 2) / 5) + 1
  year = year + era * 400
  if month < 10 then month = month + 3 else month, year = month - 9, year + 1 end
  return string.format('%04d', year) .. '-' .. two(month) .. '-' .. two(day)
    .. 'T' .. two(math.floor(rest / 3600000)) .. ':' .. two(math.floor(rest / 60000) % 60)
    .. ':' .. two(math.floor(rest / 1000) % 60) .. '.' .. string.format('%03d', rest % 1000) .. 'Z'
end

-- Adds a record, whose JSON is given without its id and its time, and returns the id. Only an alert becomes the newest one
-- of its topic. `user` is empty for a record of alertd itself; `of` is what a retraction takes back.
local function append(topic, level, json, kind, user, of)
  head = id_after(head)
  local alert = '{"id":"' .. head .. json .. written(now) .. '"}'
  local row = row_of(topic) or { trim = '0-0', [0] = '0-0', [1] = '0-0', [2] = '0-0', others = '' }
  local entry, index = { 'ms', text(now), 'level', level, 'topic', topic, 'alert', alert }, { 'l', level }
  if user ~= '' then entry[9], entry[10] = 'user', user end
  if kind ~= 'alert' then
    entry[#entry + 1], entry[#entry + 2] = 'kind', kind
    index[3], index[4] = 'kind', kind
  end
  if of then entry[#entry + 1], entry[#entry + 2] = 'of', of end
  redis.call('XADD', LOG, head, unpack(entry))
  redis.call('XADD', index_of(topic), head, unpack(index))
  if kind == 'alert' then
    redis.call('ZADD', RECENT, now, topic)
    row[tonumber(level)] = head
  end
  if of then redis.call('HSET', RETRACTED, of, head .. ' ' .. topic) end
  redis.call('ZADD', TOPICS, 0, topic)
  set_row(topic, row)
  redis.call('HINCRBY', STATE, 'bytes', #alert)
  set('head', head)
  touched[topic] = true
  stored = stored + 1
  return head
end

local function remember_key(key, fingerprint, id, owner)
  redis.call('HSET', IDEM, key, table.concat({ fingerprint, id, text(now), owner }, ' '))
  redis.call('ZADD', IDEM_AGE, now, key)
  redis.call('ZADD', keys_of(owner), now, key)
  count_keys(owner)
end

