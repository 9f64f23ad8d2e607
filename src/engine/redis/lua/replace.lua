-- Puts a log that was imported in the place of the one in use. No node may be running.
--
-- KEYS are those of the log in use; the imported one has `restore:` before its names. ARGV: time, `begin`, `end` or `discard`,
-- `1` to replace a log or keys that are there, `1` if the keys of users are replaced too. Returns `ok`; or `nodes` and their
-- names; or `occupied`, the number of alerts and of keys. Only `end` changes the log in use.

-- How long ago a node that runs has been heard of at most, milliseconds.
local SILENT_MS = 5000

local step, may_replace, has_keys = ARGV[2], ARGV[3] == '1', ARGV[4] == '1'
local names = {
  'log', 'log-copy', 'state', 'rows', 'topics', 'recent', 'removed', 'retracted', 'idem', 'idem-age', 'idem-users',
  'incidents', 'incidents-open', 'incidents-over', 'incidents-due', 'incidents-of', 'incidents-alerts',
  'incidents-counts'
}
local imported = base .. 'restore:'

local function each_key(area, visit)
  for _, topic in ipairs(redis.call('ZRANGE', area .. 'topics', 0, -1)) do visit('t:' .. topic) end
  for _, owner in ipairs(redis.call('ZRANGE', area .. 'idem-users', 0, -1)) do visit('idem-of:' .. owner) end
  for _, name in ipairs(names) do visit(name) end
end

local function clear(area)
  each_key(area, function(name) redis.call('UNLINK', area .. name) end)
end

if step ~= 'discard' then
  local running, nodes = { 'nodes' }, redis.call('HGETALL', NODES)
  for i = 1, #nodes, 2 do
    local heard = tonumber(string.match(nodes[i + 1], '^%d+'))
    if heard and clock - heard < SILENT_MS then running[#running + 1] = nodes[i] end
  end
  if running[2] then return running end
  local alerts, keys = redis.call('XLEN', LOG), has_keys and count_of_keys() or 0
  if not may_replace and (alerts > 0 or keys ~= 0) then return { 'occupied', text(alerts), text(keys) } end
end

if step ~= 'end' then
  clear(imported)
  redis.call('UNLINK', imported .. 'keys')
  return { 'ok' }
end

local revision, count = get('keys_revision'), get('keys_count')
clear(base)
each_key(imported, function(name)
  if redis.call('EXISTS', imported .. name) == 1 then redis.call('RENAME', imported .. name, base .. name) end
end)
if has_keys then
  redis.call('UNLINK', SHARED_KEYS)
  if redis.call('EXISTS', imported .. 'keys') == 1 then redis.call('RENAME', imported .. 'keys', SHARED_KEYS) end
  -- Nodes that knew the former keys take these for newer ones.
  revision, count = text(tonumber(revision or '0') + 1), text(count_of_keys())
end
if revision then set('keys_revision', revision) end
if count then set('keys_count', count) end
return { 'ok' }
