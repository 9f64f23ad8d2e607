-- Reads incidents for a backup, the one whose last change is the oldest first; changes nothing.
--
-- ARGV: time, the id after which they changed last, limit. Returns the newest visible id, `1` if there are more, then field and
-- row of each.

-- No member has a space after one.
local from, limit, members = '(' .. order(ARGV[2]) .. '!', tonumber(ARGV[3]), {}
for _, set_of in ipairs({ OPEN, OVER }) do
  for _, member in ipairs(redis.call('ZRANGEBYLEX', set_of, from, '+', 'LIMIT', 0, limit)) do members[#members + 1] = member end
end
table.sort(members)
local answer = { get('shown', '0-0'), #members >= limit and '1' or '0' }
for i = 1, math.min(#members, limit) do
  local field = field_of(members[i])
  answer[#answer + 1], answer[#answer + 2] = field, redis.call('HGET', INCIDENTS, field) or ''
end
return answer
