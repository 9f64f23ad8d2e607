-- The second step of a store under `replicas:N`: announces the alerts, or removes those that the replicas did not confirm.
--
-- ARGV: time, epoch, `1` if enough replicas confirmed, the newest id, age, count, bytes and topic_count of retention; then
-- each stored id with its idempotency key, which may be empty. Returns for each id `visible`, whichever node announced it;
-- `removed`; or `unknown` if it is visible and nobody knows whether the replicas have it. Returns nothing if the log is not the one
-- that the node knows. Nothing is removed to make room for an alert before it is confirmed.

-- The newest id of a topic's level; an index holds ids and levels alone, so a long way is short.
local function newest_of(topic, level)
  local before = '+'
  for _ = 1, 100 do
    local list = redis.call('XREVRANGE', index_of(topic), before, '-', 'COUNT', 100)
    for _, entry in ipairs(list) do
      if tonumber(entry[2][2]) == level then return entry[1] end
    end
    if #list < 100 then break end
    before = '(' .. list[100][1]
  end
  return '0-0'
end

local function take_out(id, key)
  local fields = entry_of(id)
  if fields then
    remove(id, fields)
    local topic, level = fields[6] or '', tonumber(fields[4])
    local row = level and row_of(topic)
    if row and row[level] == id then
      row[level] = newest_of(topic, level)
      set_row(topic, row)
    end
  end
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
for i = 9, #ARGV, 2 do
  local id, key = ARGV[i], ARGV[i + 1]
  local fields, is_trimmed, outcome = entry_of(id), not less(trim, id), 'visible'
  if less(newest_visible, id) then
    outcome = 'removed'
  elseif is_trimmed and not is_confirmed then
    -- A node that found a loss has moved the newest visible id past all alerts, also past those that wait for the replicas.
    outcome = 'unknown'
  elseif not fields and not is_trimmed and not redis.call('ZSCORE', REMOVED, order(id)) then
    outcome = 'removed'
  end
  if outcome == 'removed' then
    take_out(id, key)
  else
    visible = visible + 1
    if fields then touched[fields[6] or ''] = true end
  end
  outcomes[#outcomes + 1] = outcome
end
if is_confirmed then
  retain_after(touched, tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), visible)
end
return outcomes
