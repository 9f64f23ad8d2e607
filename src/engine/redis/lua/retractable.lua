-- Reads what decides about taking an alert back; changes nothing.
--
-- ARGV: time, the id, and the id after which reminders of it are searched. Returns the schema, the time, the server's time and what
-- `fate_of` says. For an alert that is there also its topic; where the search for reminders goes on, or empty at its end; the
-- number of reminders, and their ids; and, if it is the last one of its incident: the field, the row, then id, time, level,
-- topic and JSON of the alert before it in the same occurrence, if the log has it and it is not far.

-- Entries of the topic, and bytes of their JSON, that are searched in each direction.
local MAX_SEARCHED, MAX_BYTES = 500, 1048576

local id = ARGV[2]
local answer = { schema, text(now), text(clock), fate_of(id) }
if string.sub(answer[4], 1, 6) ~= 'there ' then return answer end

local function add(part) answer[#answer + 1] = part end

-- The incident of an alert, the occurrence, and whether alertd announced the incident again with it; nothing without.
local function place_of(fields)
  if not string.find(fields[8], '"incident":', 1, true) then return nil end
  local is_read, alert = pcall(cjson.decode, fields[8])
  if not is_read or type(alert) ~= 'table' or type(alert.incident) ~= 'string' then return nil end
  local metadata = type(alert.metadata) == 'table' and alert.metadata or {}
  return alert.incident, alert.occurrence, type(metadata.reminder) == 'number' and not further(fields, 'user')
end

local fields, left = entry_of(id), redis.call('HGET', LAST_ALERTS, id)
local topic, name, occurrence, is_reminder
if fields then
  topic = fields[6] or ''
  name, occurrence, is_reminder = place_of(fields)
else
  topic, name = string.match(left, '^(%S+) (.*)$')
  local row = redis.call('HGET', INCIDENTS, left)
  occurrence = cjson.decode(string.match(row, '^%S+ %S+ %S+ %S+ %S+ (.*)$')).occurrence
end
add(topic)
local field = name and occurrence and topic .. ' ' .. name

-- Visits the alerts of the same occurrence, until the visit says that it has found what it needs. Returns the last entry
-- that was looked at, if there may be more.
local function search(command, from, to, visit)
  local bytes, list = 0, redis.call(command, index_of(topic), from, to, 'COUNT', MAX_SEARCHED)
  for i, entry in ipairs(list) do
    local other = #entry[2] == 2 and redis.call('HEXISTS', RETRACTED, entry[1]) == 0 and entry_of(entry[1])
    if other then
      local its_name, its_occurrence, is_its_reminder = place_of(other)
      if its_name == name and its_occurrence == occurrence and visit(entry[1], other, is_its_reminder) then return nil end
      bytes = bytes + size_of(other)
    end
    if i == MAX_SEARCHED or bytes > MAX_BYTES then return entry[1] end
  end
end

-- Those that follow the alert, up to the next one of a sender, have its text.
local reminders, next_from = {}, nil
if field and not is_reminder then
  next_from = search('XRANGE', '(' .. ARGV[3], get('shown', '0-0'), function(other, _, is_its_reminder)
    if is_its_reminder then reminders[#reminders + 1] = other end
    return not is_its_reminder
  end)
end
add(next_from or '')
add(text(#reminders))
for _, reminder in ipairs(reminders) do add(reminder) end

local row = field and redis.call('HGET', INCIDENTS, field)
local found = row and head_of(row)
if not found or found.alert ~= id then return answer end
add(field)
add(row)
search('XREVRANGE', '(' .. id, '-', function(other, its_fields, is_its_reminder)
  if is_its_reminder then return false end
  add_alert(answer, other, its_fields)
  return true
end)
return answer
