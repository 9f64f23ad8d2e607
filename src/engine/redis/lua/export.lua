-- Reads a page of the log for a backup, forward; changes nothing.
--
-- ARGV: time, after (exclusive), until (inclusive), limit of alerts, limit of bytes. Returns
-- the epoch, the newest id that retention of the whole log removed, the oldest id or empty, the time
-- of retention, the number of alerts, and the id up to which the page reads or empty for its whole range; then the ids in the
-- page whose alert is gone, an empty text, and the alerts with six parts each, the last of which is the user or
-- empty.

local after, untill, limit, bytes = ARGV[2], ARGV[3], tonumber(ARGV[4]), tonumber(ARGV[5])

local answer = {
  get('epoch', ''), get('trim', '0-0'), oldest_id(), get('clock', '0'),
  text(redis.call('XLEN', LOG)), ''
}

-- The ids that a limit removed are read first: if there are more than a page of them, they end it.
local removed = {}
if less(after, untill) then
  removed = redis.call('ZRANGEBYLEX', REMOVED, '(' .. order(after), '[' .. order(untill), 'LIMIT', 0, limit)
end
for i, id in ipairs(removed) do removed[i] = string.gsub(string.gsub(id, '^0*(%d)', '%1'), '%-0*(%d)', '-%1') end
if #removed == limit then
  untill = removed[limit]
  answer[6] = untill
end

local entries, size = {}, 0
if less(after, untill) then entries = redis.call('XRANGE', LOG, '(' .. after, untill, 'COUNT', limit) end
local alerts = {}
for i, entry in ipairs(entries) do
  local fields = entry[2]
  add_alert(alerts, entry[1], fields)
  alerts[#alerts + 1] = further(fields, 'user') or ''
  size = size + size_of(fields)
  if i == limit or size > bytes then
    answer[6] = entry[1]
    break
  end
end
for _, id in ipairs(removed) do
  if answer[6] == '' or not less(answer[6], id) then answer[#answer + 1] = id end
end
answer[#answer + 1] = ''
for _, part in ipairs(alerts) do answer[#answer + 1] = part end
return answer
