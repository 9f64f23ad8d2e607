-- Stores groups of alerts, each whole or not at all.
--
-- ARGV: time, epoch, the newest id that the node has seen and its alert or empty, `1` to announce at once, age, count, bytes and topic_count of
-- retention, number of groups; for each group its deadline and size; for each of its alerts topic, level, the JSON between
-- id and time, idempotency key, its fingerprint and its owner, the last three empty without a key. A fingerprint that begins with `=` is the
-- fingerprint of a state: a different state takes over the key.
--
-- Returns `ok`, the server's time and the newest id; for each group `ok`, `late` or `conflict`; for each alert of a group
-- that is `ok` its id, the time it was received, and `1` if it had been stored before. Returns only `epoch` if the log is
-- not the one that the node knows.

if get('epoch', '') ~= ARGV[2] then return { 'epoch' } end
look_back(ARGV[2], ARGV[3], ARGV[4])
local announces = ARGV[5] == '1'

head = get('head', '0-0')
local answer = { 'ok', text(clock), '' }

-- A fingerprint without the mark of a state, which a backup does not have.
local function bare(fingerprint) return (string.gsub(fingerprint, '^=', '')) end

local function known_key(key)
  local known = key ~= '' and redis.call('HGET', IDEM, key)
  if not known then return nil end
  local fingerprint, id, ms = string.match(known, '^(%S+) (%S+) (%S+)')
  if not ms or tonumber(ms) + IDEMPOTENCY_AGE_MS < now then return nil end
  return { fingerprint = bare(fingerprint), id = id, ms = ms }
end

-- Whether none of a group's keys was used for another alert; checked before anything is written.
local function fits(first, size)
  local own = {}
  for i = 0, size - 1 do
    local key, fingerprint = ARGV[first + 6 * i + 3], ARGV[first + 6 * i + 4]
    local known = known_key(key)
    if key ~= '' and string.sub(fingerprint, 1, 1) ~= '=' and ((known and known.fingerprint ~= fingerprint) or (own[key] or fingerprint) ~= fingerprint) then
      return false
    end
    own[key] = fingerprint
  end
  return true
end

local function store(at)
  local topic, level, json, key, fingerprint = ARGV[at], ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
  local owner = ARGV[at + 5]
  local known = known_key(key)
  if known and known.fingerprint == bare(fingerprint) then return known.id, known.ms, '1' end
  local id = append(topic, level, json, 'alert')
  if key ~= '' then remember_key(key, fingerprint, id, owner) end
  return id, text(now), '0'
end

local at = 11
for _ = 1, tonumber(ARGV[10]) do
  local deadline, size = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  if deadline < clock then
    answer[#answer + 1] = 'late'
  elseif not fits(at, size) then
    answer[#answer + 1] = 'conflict'
  else
    answer[#answer + 1] = 'ok'
    for i = 0, size - 1 do
      local id, ms, repeated = store(at + 6 * i)
      answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = id, ms, repeated
    end
  end
  at = at + 6 * size
end
answer[3] = head
if not announces then
  -- WAIT waits for the last write of this connection, and a repeated alert writes nothing.
  set('head', head)
elseif stored > 0 then
  announce(head)
  retain_after(touched, tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]), stored)
end
return answer
