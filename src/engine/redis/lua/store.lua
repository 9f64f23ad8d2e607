-- Stores groups of alerts, each whole or not at all.
--
-- ARGV: time, epoch, the newest id that the node has seen and its alert or empty, `1` to announce at once, age, count, bytes and topic_count of
-- retention, number of groups; for each group its deadline and size; for each of its alerts topic, level, the JSON between
-- id and time, the user, idempotency key, its fingerprint and its owner, the last three empty without a key. A fingerprint that begins with `=` is the
-- fingerprint of a state: a different state takes over the key.
--
-- Returns `ok`, the server's time and the newest id; for each group `ok`, `late`, `conflict` or `retracted`; for each alert of a group
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

-- `ok` if none of a group's keys was used for another alert, or for one that was taken back; checked before anything is
-- written. A different state takes over its key, and the same one is a repeat whatever became of the alert.
local function outcome_of(first, size)
  local own = {}
  for i = 0, size - 1 do
    local key, fingerprint = ARGV[first + 7 * i + 4], ARGV[first + 7 * i + 5]
    local known = known_key(key)
    if key ~= '' and string.sub(fingerprint, 1, 1) ~= '=' then
      if known and is_retracted(known.id) then return 'retracted' end
      if (known and known.fingerprint ~= fingerprint) or (own[key] or fingerprint) ~= fingerprint then return 'conflict' end
    end
    own[key] = fingerprint
  end
  return 'ok'
end

local function store(at)
  local topic, level, json, user, key, fingerprint, owner = unpack(ARGV, at, at + 6)
  local known = known_key(key)
  if known and known.fingerprint == bare(fingerprint) then return known.id, known.ms, '1' end
  local id = append(topic, level, json, 'alert', user)
  if key ~= '' then remember_key(key, fingerprint, id, owner) end
  return id, text(now), '0'
end

local at = 11
for _ = 1, tonumber(ARGV[10]) do
  local deadline, size = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
  at = at + 2
  if deadline < clock then
    answer[#answer + 1] = 'late'
  else
    local outcome = outcome_of(at, size)
    answer[#answer + 1] = outcome
    for i = 0, outcome == 'ok' and size - 1 or -1 do
      local id, ms, repeated = store(at + 7 * i)
      answer[#answer + 1], answer[#answer + 2], answer[#answer + 3] = id, ms, repeated
    end
  end
  at = at + 7 * size
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
