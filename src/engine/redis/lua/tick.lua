-- Once a second from each node: tells what it knows, learns what is, and does what time asks for.
--
-- ARGV: time, the epoch that the node knows or empty, the newest id that it has seen, an epoch for a log that has none, the
-- node's name, its probe, milliseconds since its last call, age, count, bytes and topic_count of retention, its open streams,
-- and its version. Answers the server's time, the epoch, the newest visible id, the newest id that is missing, the
-- revision of the keys, and whether as many are there as were saved.

-- A node that says nothing is listed for so long.
local LISTED = 3600000

-- A script whose first write takes no memory may write on when Redis is out of it: nodes must hear of each other, and
-- what is too much must go, or it stays out of it.
redis.call('HDEL', NODES, '')

local known, seen, node = ARGV[2], ARGV[3], ARGV[5]
local epoch = get('epoch')
if not epoch then
  epoch = ARGV[4]
  local newest = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 1)[1]
  newest = newest and newest[1] or '0-0'
  set('epoch', epoch, 'head', newest, 'shown', newest)
  -- What the alerts take is reckoned from the newest of them: to add up all would hold everybody up.
  local sample, bytes = redis.call('XREVRANGE', LOG, '+', '-', 'COUNT', 100), 0
  for _, entry in ipairs(sample) do bytes = bytes + #entry[2][8] end
  if #sample > 0 then set('bytes', text(bytes / #sample * redis.call('XLEN', LOG))) end
end
-- A log that another hand has emptied takes nothing, or retention would go on taking out what comes.
if redis.call('XLEN', LOG) == 0 and get('bytes', '0') ~= '0' then set('bytes', '0') end

-- An id that this log does not know was lost with a part of it, or with all: from here on everybody is behind a gap, and
-- ids go on above the lost ones.
if seen ~= '0-0' and less(get('trim', '0-0'), seen) and (known ~= epoch or not is_known(seen)) then
  local cut = id_after(greatest(get('head', '0-0'), seen))
  set('head', cut, 'shown', cut, 'trim', cut)
elseif known == epoch and less(get('shown', '0-0'), seen) then
  -- A replica took over that had the alerts, but not yet that they were shown.
  announce(seen)
end

-- How long the oldest alert has waited that the node has not seen; one that is new has nothing to be behind of.
local lag = 0
if seen ~= '0-0' and less(seen, get('shown', '0-0')) then
  local waiting = redis.call('XRANGE', LOG, '(' .. seen, get('shown', '0-0'), 'COUNT', 1)[1]
  if waiting then lag = math.max(0, now - tonumber(waiting[2][2])) end
end
redis.call('HSET', NODES, node, table.concat({ text(clock), text(lag), ARGV[12], ARGV[13] }, ' '))
redis.call('PUBLISH', LIVE, '!' .. node .. ' ' .. ARGV[6])

-- One node does what time asks for; another takes over where it is silent.
local tidier, tidied = get('tidier', ''), tonumber(get('tidied', '0'))
if tidier == node or now - tidied > 5000 or now < tidied then
  local before = tonumber(get('clock', '0'))
  local after = now
  if before > 0 then after = math.min(now, before + CATCH_UP_SPEED * tonumber(ARGV[7])) end
  set('tidier', node, 'tidied', text(now), 'clock', text(after))
  pcall(function()
    retain(tonumber(ARGV[8]), tonumber(ARGV[9]), tonumber(ARGV[10]), 500)
    forget_keys(500)
    local nodes = redis.call('HGETALL', NODES)
    for i = 1, #nodes, 2 do
      local heard = tonumber(string.match(nodes[i + 1], '^%d+'))
      if not heard or clock - heard > LISTED then redis.call('HDEL', NODES, nodes[i]) end
    end
  end)
end

local count = text(count_of_keys())
local are_keys_whole = get('keys_count', count) == count and '1' or '0'
return { text(clock), epoch, get('shown', '0-0'), get('trim', '0-0'), get('keys_revision', '0'), are_keys_whole }
