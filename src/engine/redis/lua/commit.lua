-- Stores what a node has decided from what `look.lua` read, all of it or nothing.
--
-- ARGV: the time that was read, epoch, the newest id that the node has seen and its alert or empty, `1` to announce at once, age, count, bytes and
-- topic_count of retention, the earliest deadline; the number of things that were read, each with `k`, `i` or `r` for an
-- idempotency key, an incident or an alert to be taken back, its name, and what was stored about it; then steps of twelve parts: kind, topic, level, the JSON between id
-- and time, the user, the id of the alert that is taken back or empty, idempotency key, its fingerprint and its owner, field of an incident or empty, the
-- incident's last alert (`+` for the record, `=` for the one before, or an id or `-`), and the rest of its row after the two ids. The kinds are
-- `alert`, `transition` and `retraction` for records; `count` changes a row alone and lets the key stand for its last alert; `keep` changes a row alone;
-- `undue` forgets that something is due.
--
-- Returns `ok`, the server's time and the newest id, then for each step the id of the newest record of its incident, or its
-- own without one, and the id of the last alert of its incident or `-`. Returns only `stale` if something differs from what was read,
-- or a deadline has passed; only `epoch` if the log is not the one that the node knows.

if get('epoch', '') ~= ARGV[2] then return { 'epoch' } end
if tonumber(schema) < INCIDENTS_SCHEMA or tonumber(ARGV[10]) < clock then return { 'stale' } end
local at = 12
for _ = 1, tonumber(ARGV[11]) do
  local kind, name, found = ARGV[at], ARGV[at + 1]
  if kind == 'r' then found = fate_of(name) else found = redis.call('HGET', kind == 'k' and IDEM or INCIDENTS, name) or '' end
  if found ~= ARGV[at + 2] then return { 'stale' } end
  at = at + 3
end
look_back(ARGV[2], ARGV[3], ARGV[4])
head = get('head', '0-0')
local answer = { 'ok', text(clock), '' }

local function take(kind, topic, level, json, user, of, key, fingerprint, owner, field, last, rest)
  local former = field ~= '' and redis.call('HGET', INCIDENTS, field)
  former = former and head_of(former)
  local changed, alert = former and former.changed or '-', former and former.alert or '-'
  if kind == 'alert' or kind == 'transition' or kind == 'retraction' then
    changed = append(topic, level, json, kind, user, of ~= '' and of)
  end
  if last == '+' then alert = changed elseif last ~= '=' then alert = last end
  if key ~= '' then remember_key(key, fingerprint, kind == 'count' and alert or changed, owner) end
  if kind == 'undue' then
    redis.call('ZREM', DUE, field)
  elseif field ~= '' then
    -- Its state is as it was when its last alert is taken back.
    put_row(field, (kind == 'retraction' and former.changed or changed) .. ' ' .. alert .. ' ' .. rest)
  end
  return changed, alert
end

for i = at, #ARGV, 12 do
  answer[#answer + 1], answer[#answer + 2] = take(unpack(ARGV, i, i + 11))
end
answer[3] = head
if ARGV[5] ~= '1' then
  -- WAIT waits for the last write of this connection, and a repeated alert writes nothing.
  set('head', head)
elseif stored > 0 then
  announce(head)
  retain_after(touched, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), stored)
  pcall(limit_resolved, 2 * stored)
end
return answer
