-- How the rows of incidents are kept; shared by the scripts that change them. Rust decides what a row becomes.
--
-- A field of these keys is a topic, a space, and the name of an incident.
--   incidents         hash by field: the row. It has the id of the newest record that changed it, the id of its last alert or
--                     `-`, the hash of the user whose alert opened it, its state and level as in `open:error`, when something is
--                     due or `-`, and its JSON
--   incidents-open    sorted set of the unresolved ones, and
--   incidents-over    of the resolved ones: the id of the newest change as a text that sorts, a space, the field
--   incidents-due     sorted set of fields by the time when something is due
--   incidents-of      hash by the hash of a user: unresolved ones that the alerts of this user opened
--   incidents-alerts  hash by the id of the last alert of an unresolved one: its field
--   incidents-counts  hash by state and level: how many there are

local INCIDENTS, OPEN, OVER = base .. 'incidents', base .. 'incidents-open', base .. 'incidents-over'
local DUE, OPEN_OF, LAST_ALERTS = base .. 'incidents-due', base .. 'incidents-of', base .. 'incidents-alerts'
local COUNTS = base .. 'incidents-counts'

-- A row without its JSON; nil if alertd did not write it.
local function head_of(row)
  local changed, alert, owner, state, level, due = string.match(row, '^(%d+%-%d+) (%S+) (%S+) (%a+):(%a+) (%S+) ')
  if not due then return nil end
  local kind, is_open = state .. ':' .. level, state ~= 'resolved'
  return { changed = changed, alert = alert, owner = owner, kind = kind, is_open = is_open, due = due }
end

-- The field in a member of `incidents-open` or `incidents-over`, whose beginning has one length.
local function field_of(member) return string.sub(member, 43) end

local function count_in(hash, name, change)
  if redis.call('HINCRBY', hash, name, change) <= 0 then redis.call('HDEL', hash, name) end
end

-- Puts a row in the place of the one that is there; an empty one removes it.
local function put_row(field, row)
  local former = redis.call('HGET', INCIDENTS, field)
  former = former and head_of(former)
  if former then
    redis.call('ZREM', former.is_open and OPEN or OVER, order(former.changed) .. ' ' .. field)
    count_in(COUNTS, former.kind, -1)
    if former.is_open then
      count_in(OPEN_OF, former.owner, -1)
      redis.call('HDEL', LAST_ALERTS, former.alert)
    end
  end
  redis.call('ZREM', DUE, field)
  if row == '' then
    redis.call('HDEL', INCIDENTS, field)
    return
  end
  redis.call('HSET', INCIDENTS, field, row)
  local new = head_of(row)
  redis.call('ZADD', new.is_open and OPEN or OVER, 0, order(new.changed) .. ' ' .. field)
  count_in(COUNTS, new.kind, 1)
  if new.is_open then
    count_in(OPEN_OF, new.owner, 1)
    if new.alert ~= '-' then redis.call('HSET', LAST_ALERTS, new.alert, field) end
  end
  if new.due ~= '-' then redis.call('ZADD', DUE, new.due, field) end
end

local function forget_resolved(member)
  put_row(field_of(member), '')
  -- In case the row was another one.
  redis.call('ZREM', OVER, member)
end

-- Forgets the resolved incidents that are too many; those that changed last stay.
local function limit_resolved(limit)
  for _ = 1, limit do
    if redis.call('ZCARD', OVER) <= MAX_RESOLVED then return end
    forget_resolved(redis.call('ZRANGE', OVER, 0, 0)[1])
  end
end

-- Forgets resolved incidents whose last alert is gone. Looks at some of them each time, and begins again at the end.
local function forget_without_alert(limit)
  local from = get('over_checked', '-')
  local members = redis.call('ZRANGEBYLEX', OVER, from, '+', 'LIMIT', 0, limit)
  for _, member in ipairs(members) do
    local row = redis.call('HGET', INCIDENTS, field_of(member))
    local found = row and head_of(row)
    if not found or not entry_of(found.alert == '-' and found.changed or found.alert) then forget_resolved(member) end
  end
  local upto = #members == limit and '(' .. members[#members] or '-'
  if upto ~= from then set('over_checked', upto) end
end

