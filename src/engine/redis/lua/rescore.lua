-- Makes every unresolved incident due, because the times of reminders were changed; a node that finds nothing due then
-- stores when something will be.
--
-- ARGV: time, the times, where to go on or `-`, limit. Returns where to go on; nothing at the end, or if the times are the
-- stored ones.

if get('incident_times', '0') == ARGV[2] then return {} end
local members = redis.call('ZRANGEBYLEX', OPEN, ARGV[3], '+', 'LIMIT', 0, ARGV[4])
for _, member in ipairs(members) do
  local field = field_of(member)
  local row = redis.call('HGET', INCIDENTS, field)
  if row then put_row(field, (string.gsub(row, '^(%S+ %S+ %S+ %S+) %S+ ', '%1 0 '))) end
end
if #members == tonumber(ARGV[4]) then return { '(' .. members[#members] } end
set('incident_times', ARGV[2])
return {}
