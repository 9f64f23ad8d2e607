-- What a stream needs to know to begin; changes nothing.
--
-- ARGV: time, the cursor or empty, the newest id of interest, when a `latest` alert must have come in at the earliest or
-- empty for none, level, and the patterns. Answers the newest visible id, the newest one that is missing for these
-- patterns, the oldest one or empty, `1` where the cursor is known; then the `latest` alerts by five fields each.

local cursor, untill, since, level = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
-- Topics whose newest alert a stream gets at its beginning.
local LATEST = 10000

local function below(parent, most)
  -- `/` is the character behind `.`.
  return redis.call('ZRANGEBYLEX', TOPICS, '[' .. parent .. '.', '(' .. parent .. '/', 'LIMIT', 0, most)
end

local trimmed, topic_trim = get('trim', '0-0'), get('topic_trim', '0-0')
local function trim_of(topic)
  local row = row_of(topic)
  if row then trimmed = greatest(trimmed, row.trim) end
end
if less(trimmed, topic_trim) then
  for i = 6, #ARGV do
    local kind, name = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
    if kind == '*' then
      trimmed = greatest(trimmed, topic_trim)
    elseif kind == '=' then
      trim_of(name)
    else
      for _, topic in ipairs(below(name, LATEST)) do trim_of(topic) end
    end
  end
end

local oldest = redis.call('XRANGE', LOG, '-', '+', 'COUNT', 1)[1]
local is_cursor_known = '0'
if cursor == '0-0' then
  if get('trim', '0-0') == '0-0' and topic_trim == '0-0' then is_cursor_known = '1' end
elseif cursor ~= '' and is_known(cursor) then
  is_cursor_known = '1'
end
local answer = { get('shown', '0-0'), trimmed, oldest and oldest[1] or '', is_cursor_known }
if since == '' then return answer end

local function newest_before(topic)
  for _, entry in ipairs(redis.call('XREVRANGE', index_of(topic), untill, '-', 'COUNT', 1000)) do
    if tonumber(entry[2][2]) >= level then return entry[1] end
  end
end

local ids = {}
local function take(topic)
  local row = row_of(topic)
  if not row then return end
  local newest = '0-0'
  for l = level, 2 do newest = greatest(newest, row[l]) end
  if less(untill, newest) then newest = newest_before(topic) end
  if newest and newest ~= '0-0' and #ids < LATEST then ids[#ids + 1] = newest end
end
for i = 6, #ARGV do
  local kind, name = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
  if kind == '=' then
    take(name)
  elseif kind == '<' then
    for _, topic in ipairs(below(name, LATEST)) do take(topic) end
  else
    for _, topic in ipairs(redis.call('ZREVRANGEBYSCORE', RECENT, '+inf', since, 'LIMIT', 0, LATEST)) do take(topic) end
  end
end
table.sort(ids, less)
for _, id in ipairs(ids) do
  local fields = entry_of(id)
  if fields and tonumber(fields[2]) >= tonumber(since) then
    for _, part in ipairs({ id, fields[2], fields[4], fields[6], fields[8] }) do answer[#answer + 1] = part end
  end
end
return answer
