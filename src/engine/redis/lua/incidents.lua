-- Reads a page of incidents, the one that changed last first; changes nothing.
--
-- ARGV: time, `u` for unresolved ones, `r` for resolved ones or `a` for all, the id before which they changed last or empty, limit of rows, limit of
-- bytes. Returns `1` if there may be more, then field and row of each.

local wanted, from, limit, bytes = ARGV[2], '+', tonumber(ARGV[4]), tonumber(ARGV[5])
if ARGV[3] ~= '' then from = '(' .. order(ARGV[3]) end
local members = {}
for kind, set_of in pairs({ u = OPEN, r = OVER }) do
  if wanted == kind or wanted == 'a' then
    for _, member in ipairs(redis.call('ZREVRANGEBYLEX', set_of, from, '-', 'LIMIT', 0, limit)) do
      members[#members + 1] = member
    end
  end
end
table.sort(members, function(a, b) return b < a end)
local answer, size = { #members >= limit and '1' or '0' }, 0
for i = 1, math.min(#members, limit) do
  local field = field_of(members[i])
  local row = redis.call('HGET', INCIDENTS, field)
  if row then
    answer[#answer + 1], answer[#answer + 2] = field, row
    size = size + #row
    if size > bytes and i < #members then
      answer[1] = '1'
      break
    end
  end
end
return answer
