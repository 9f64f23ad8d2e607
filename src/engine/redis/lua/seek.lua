-- Finds where a stream begins; changes nothing.
--
-- ARGV: time, the cursor or empty, the newest id of interest, the earliest time of a `latest` alert or empty without them,
-- level, and the patterns. Returns the newest visible id, the newest removed id for these patterns, the oldest id or empty,
-- `1` if the cursor is known; then the `latest` alerts with five parts each.

local cursor, untill, since, level = ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local asked = patterns(6)

local is_cursor_known = '0'
if cursor == '0-0' then
  if get('trim', '0-0') == '0-0' and get('topic_trim', '0-0') == '0-0' then is_cursor_known = '1' end
elseif cursor ~= '' and is_known(cursor) then
  is_cursor_known = '1'
end
local answer = { get('shown', '0-0'), trimmed_for(asked), oldest_id(), is_cursor_known }
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
  if newest and newest ~= '0-0' and #ids < MAX_LATEST_TOPICS then ids[#ids + 1] = newest end
end
for _, pattern in ipairs(asked) do
  local topics
  if pattern[1] == '*' then
    topics = redis.call('ZREVRANGEBYSCORE', RECENT, '+inf', since, 'LIMIT', 0, MAX_LATEST_TOPICS)
  else
    topics = topics_of(pattern)
  end
  for _, topic in ipairs(topics) do take(topic) end
end
table.sort(ids, less)
for _, id in ipairs(ids) do
  local fields = entry_of(id)
  if fields and tonumber(fields[2]) >= tonumber(since) then add_alert(answer, id, fields) end
end
return answer
