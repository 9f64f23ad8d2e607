-- The second step of a store under `replicas:N`: announces the records, or removes those that the replicas did not confirm.
--
-- ARGV: time, epoch, `1` if enough replicas confirmed, the newest id, age, count, bytes and topic_count of retention, the
-- number of parts of each of the following: `2` for the id of an alert with its idempotency key, which may be empty; `6` also for the
-- kind, the field of an incident or empty, its row as the record left it, and the row before, which may be empty. The kinds are
-- `record`; `count` for an alert that was only counted, whose id is that of an earlier one; `check` for a record that an earlier
-- call stored. Returns for each id `visible`, whichever node announced it; `removed`; or `unknown` if it is visible and nobody
-- knows whether the replicas have it. Returns nothing if the log is not the one that the node knows. Nothing is removed to make room for an alert
-- before it is confirmed.
--
-- A record is removed together with what it changed of its incident. If the incident was changed again since, the record
-- stays, as that of a node that has died does, and is `unknown`.

local function forget_key_of(id, key)
  local known = key ~= '' and redis.call('HGET', IDEM, key)
  -- A later alert may have taken over the key.
  if known and string.match(known, '^%S+ (%S+)') == id then
    forget_key(key)
  end
end

if get('epoch', '') ~= ARGV[2] then return {} end
local is_confirmed = ARGV[3] == '1'
if is_confirmed then announce(ARGV[4]) end
local newest_visible, trim, outcomes, touched, visible = get('shown', '0-0'), get('trim', '0-0'), {}, {}, 0

local function outcome_of(id, kind)
  local fields, is_trimmed = entry_of(id), not less(trim, id)
  if kind == 'count' and not is_confirmed then return 'removed' end
  if less(newest_visible, id) then return 'removed' end
  -- A node that found a loss has moved the newest visible id past all alerts, also past those that wait for the replicas.
  if is_trimmed and not is_confirmed then return 'unknown' end
  if not fields and not is_trimmed and not is_removed(id) then return 'removed' end
  return 'visible', fields and fields[6]
end

-- Removes a record with its key and its change of an incident.
local function undo(id, key, kind, field, written, before)
  if kind == 'check' and entry_of(id) then return 'unknown' end
  if field ~= '' then
    if redis.call('HGET', INCIDENTS, field) ~= written then return 'unknown' end
    put_row(field, before)
  end
  if kind ~= 'count' then take_out(id) end
  forget_key_of(id, key)
  return 'removed'
end

local size = tonumber(ARGV[9])
local number = (#ARGV - 9) / size
-- The newest first, because several may have changed one incident.
for i = number, 1, -1 do
  local at = 10 + (i - 1) * size
  local id, key = ARGV[at], ARGV[at + 1]
  local kind, field = 'record', ''
  if size > 2 then kind, field = ARGV[at + 2], ARGV[at + 3] end
  local outcome, topic = outcome_of(id, kind)
  if outcome == 'removed' then
    outcome = undo(id, key, kind, field, ARGV[at + 4], ARGV[at + 5])
  else
    visible = visible + 1
    if topic then touched[topic] = true end
  end
  outcomes[i] = outcome
end
if is_confirmed then
  retain_after(touched, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), visible)
  if size > 2 then pcall(limit_resolved, 2 * visible) end
end
return outcomes
