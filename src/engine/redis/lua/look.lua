-- Reads what decides about incidents; changes nothing.
--
-- ARGV: time; the number of idempotency keys, and the keys; the number of incidents, and their fields; the hashes of users.
-- Returns the schema, the time, the server's time, the number of unresolved incidents; for each key what is stored about it, the time and the JSON of
-- its alert, each may be empty, and `1` if the alert was taken back; for each incident its row or empty, and the number of unresolved incidents of its user; for
-- each user that number.

local answer = { schema, text(now), text(clock), text(redis.call('ZCARD', OPEN)) }
local at = 2

local function each(visit)
  local number = tonumber(ARGV[at])
  for i = at + 1, at + number do visit(ARGV[i]) end
  at = at + number + 1
end

local function add(part) answer[#answer + 1] = part or '' end

local function number_of(owner) return redis.call('HGET', OPEN_OF, owner) or '0' end

each(function(key)
  local known = redis.call('HGET', IDEM, key)
  local id = known and string.match(known, '^%S+ (%d+%-%d+)')
  local fields = id and entry_of(id)
  add(known)
  add(fields and fields[2])
  add(fields and fields[8])
  add(id and is_retracted(id) and '1')
end)
each(function(field)
  local row = redis.call('HGET', INCIDENTS, field)
  local found = row and head_of(row)
  add(row)
  add(found and number_of(found.owner) or '0')
end)
for i = at, #ARGV do add(number_of(ARGV[i])) end
return answer
