-- Reads a part of the log in either direction; changes nothing, and reads a bounded number of entries.
--
-- ARGV: time, `1` for backward, after (exclusive), until (inclusive), limit of alerts, limit of bytes, level, and the
-- patterns. Returns the newest visible id, the id at which it stopped before the end of the range or empty, the newest removed
-- id for these patterns, the oldest id or empty; then the alerts with five parts each, in the direction of reading.

local backward, after, untill = ARGV[2] == '1', ARGV[3], ARGV[4]
local limit, bytes, level = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])

local visible = get('shown', '0-0')
if less(visible, untill) then untill = visible end

-- The topics that the patterns select, unless one of them selects all, or they are many.
local asked = patterns(8)
local topics, all = {}, false
for _, pattern in ipairs(asked) do
  if pattern[1] == '*' then
    all = true
  elseif #topics <= MAX_MERGED_TOPICS then
    for _, topic in ipairs(topics_of(pattern, MAX_MERGED_TOPICS + 1)) do topics[#topics + 1] = topic end
  end
end
local few = not all and #topics <= MAX_MERGED_TOPICS

local answer = { visible, '', trimmed_for(asked, after), oldest_id() }
if not less(after, untill) then return answer end

local function entries(key, count)
  if backward then return redis.call('XREVRANGE', key, untill, '(' .. after, 'COUNT', count) end
  return redis.call('XRANGE', key, '(' .. after, untill, 'COUNT', count)
end

local taken, size = 0, 0
local function take(id, fields)
  add_alert(answer, id, fields)
  taken, size = taken + 1, size + size_of(fields)
  return taken == limit or size > bytes
end

if few then
  -- Each index gives its next entries; those beyond the end of the shortest list are left to the next call.
  local count = math.max(16, math.floor(MAX_SCANNED / math.max(1, #topics)))
  local found, bound = {}, nil
  for _, topic in ipairs(topics) do
    local list = entries(index_of(topic), count)
    for _, entry in ipairs(list) do found[#found + 1] = { order(entry[1]), entry[1], tonumber(entry[2][2]) } end
    if #list == count then
      local last = order(list[count][1])
      if not bound or (backward and bound < last) or (not backward and last < bound) then bound = last end
    end
  end
  table.sort(found, function(a, b)
    if backward then return b[1] < a[1] end
    return a[1] < b[1]
  end)
  local seen
  for i, entry in ipairs(found) do
    if bound and ((backward and entry[1] < bound) or (not backward and bound < entry[1])) then break end
    seen = entry[2]
    if entry[3] >= level then
      local fields = entry_of(entry[2])
      if fields and take(entry[2], fields) and (i < #found or bound) then
        answer[2] = seen
        return answer
      end
    end
  end
  if bound and seen then answer[2] = seen end
  return answer
end

local function selects(topic)
  if all then return true end
  for _, pattern in ipairs(asked) do
    local kind, name = pattern[1], pattern[2]
    if kind == '=' and topic == name then return true end
    if kind == '<' and string.sub(topic, 1, #name + 1) == name .. '.' then return true end
  end
  return false
end

-- In small steps, so that a few large alerts reach the limit of bytes early.
local STEP = 50
for _ = 1, MAX_SCANNED / STEP do
  local list = entries(LOG, STEP)
  for i, entry in ipairs(list) do
    local fields = entry[2]
    -- An entry that alertd did not write may have been of any level and topic.
    local own, topic = tonumber(fields[4]), fields[6]
    local full = (not own or own >= level) and (not topic or selects(topic)) and take(entry[1], fields)
    if full and (i < #list or #list == STEP) then
      answer[2] = entry[1]
      return answer
    end
  end
  if #list < STEP then return answer end
  if backward then untill = '(' .. list[STEP][1] else after = list[STEP][1] end
end
answer[2] = backward and string.sub(untill, 2) or after
return answer
