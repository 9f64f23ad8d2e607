-- Called once a second by each node: compares the node with the log, lists the node, and does the periodic work.
--
-- ARGV: time, the epoch that the node knows or empty, the newest id that it has seen, the newest id that its streams have, each with its alert or empty,
-- an epoch for a log that has none, the node's name, its probe, milliseconds since its last call, age, count, bytes and
-- topic_count of retention, its open streams, and its version. Returns the server's time, the epoch, the newest visible id,
-- the newest id that retention of the whole log removed, the revision of the keys, `1` if as many keys are there as
-- were saved, `1` if the newest that the node has seen was taken back, `1` if this node is to rewrite the log, and the incidents
-- for which something is due.

-- How long a silent node stays listed, milliseconds.
local LISTED_MS = 3600000

-- A script whose first write needs no memory may go on writing when Redis is out of memory. Without this, retention could
-- not free any, and the nodes would not hear of each other.
redis.call('HDEL', NODES, '')

local known, has, node = ARGV[2], ARGV[5], ARGV[8]
local epoch = get('epoch')
if not epoch then
  epoch = ARGV[7]
  local newest = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
  newest = newest and newest[1] or '0-0'
  set('epoch', epoch, 'head', newest, 'shown', newest)
  -- The size is estimated from the newest alerts: adding up all of them would block the server.
  local sample, bytes = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 100), 0
  for _, entry in ipairs(sample) do bytes = bytes + #entry[2][8] end
  if #sample > 0 then set('bytes', text(bytes / #sample * redis.call('XLEN', LOG))) end
end
-- A log that another program has emptied has no bytes; otherwise retention would remove every new alert.
if redis.call('XLEN', LOG) == 0 and get('bytes', '0') ~= '0' then set('bytes', '0') end

-- Both, because they may be of two servers: while a failover is under way, the node may have stored on the new one what
-- is newer than the last alert of the old one that its streams got, which is lost.
look_back(known, has, ARGV[6])
look_back(known, ARGV[3], ARGV[4])

-- How long ago the oldest alert was stored that the node has not seen; a new node has no lag.
local lag = 0
if has ~= '0-0' and less(has, get('shown', '0-0')) then
  local waiting = redis.call('XRANGE', LOG, '(' .. has, get('shown', '0-0'), 'COUNT', 1)[1]
  if waiting then lag = math.max(0, now - tonumber(waiting[2][2])) end
end
redis.call('HSET', NODES, node, table.concat({ text(clock), text(lag), ARGV[15], ARGV[16], text(SCHEMA) }, ' '))
-- On a channel of its own: all nodes would have to read what is sent to all.
redis.call('PUBLISH', LIVE .. ':' .. node, '!' .. node .. ' ' .. ARGV[9])

-- One node does the periodic work; another takes over if that one is silent.
local tidier, tidied = get('tidier', ''), tonumber(get('tidied', '0'))
local is_tidier = tidier == node or now - tidied > 5000 or now < tidied
if is_tidier then
  local before = tonumber(get('clock', '0'))
  local after = now
  if before > 0 then after = math.min(now, before + CATCH_UP_SPEED * tonumber(ARGV[10])) end
  set('tidier', node, 'tidied', text(now), 'clock', text(after))
  pcall(function()
    retain(tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]), 500)
    forget_keys(500)
    limit_resolved(500)
    forget_without_alert(100)
    local nodes, known_to_all = redis.call('HGETALL', NODES), SCHEMA
    for i = 1, #nodes, 2 do
      local heard = tonumber(string.match(nodes[i + 1], '^%d+'))
      if not heard or clock - heard > LISTED_MS then
        redis.call('HDEL', NODES, nodes[i])
      else
        local its_schema = string.match(nodes[i + 1], '^%S+ %S+ %S+ %S+ (%d+)')
        known_to_all = math.min(known_to_all, tonumber(its_schema or '0'))
      end
    end
    if known_to_all > tonumber(schema) then set('schema', text(known_to_all)) end
  end)
end

local count = text(count_of_keys())
local are_keys_whole = get('keys_count', count) == count and '1' or '0'
local answer = { text(clock), epoch, get('shown', '0-0'), get('trim', '0-0'), get('keys_revision', '0'), are_keys_whole }
answer[7] = is_retracted(ARGV[3]) and '1' or '0'
answer[8] = is_tidier and is_rewrite_due() and '1' or '0'
for _, field in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', text(now), 'LIMIT', 0, MAX_DUE)) do
  answer[#answer + 1] = field
end
return answer
