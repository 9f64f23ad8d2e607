-- Rewrites the log, so that Redis has nothing left of alerts that were taken back: a removed entry is only marked, and its
-- content stays where it is for as long as the log has another entry of the same block. Copies a part of the log; the step
-- that copies the rest puts the copy in the place of the log, so that every other script finds a whole log. Where the copy
-- ends says how far it is, so it does not matter which nodes call this, and after a failover the copy fits the log.
--
-- ARGV: time, entries and bytes to copy, about. Returns `more`; `done`, also if there is nothing to do; `again` if the copy
-- did not fit the log; or `memory` if Redis has no room for it.

-- Entries that are read at once; few, so that large alerts reach the limit of bytes early.
local STEP = 50
local limit, bytes = tonumber(ARGV[2]), tonumber(ARGV[3])

local function facts_of(stream)
  local list, facts = redis.call('XINFO', 'STREAM', stream), {}
  for i = 1, #list, 2 do facts[list[i]] = list[i + 1] end
  return facts
end

local function give_up()
  redis.call('UNLINK', COPY)
  set('rewrite_due', '1', 'rewrite_began', text(clock))
end

-- A server that does not say how much memory it has finds out by trying.
local function has_room()
  local memory, needed = redis.pcall('INFO', 'memory'), redis.pcall('MEMORY', 'USAGE', LOG)
  if type(memory) ~= 'string' or type(needed) ~= 'number' then return true end
  local most, used = string.match(memory, '\nmaxmemory:(%d+)'), string.match(memory, '\nused_memory:(%d+)')
  return not most or not used or most == '0' or tonumber(used) + needed < tonumber(most)
end

if not is_rewrite_due() then return { 'done' } end
if redis.call('XLEN', LOG) == 0 then
  -- A log without entries has no blocks.
  redis.call('UNLINK', COPY)
  redis.call('HDEL', STATE, 'rewrite_due')
  return { 'done' }
end
local from = '-'
if redis.call('EXISTS', COPY) == 1 then
  from = '(' .. facts_of(COPY)['last-generated-id']
else
  if not has_room() then return { 'memory' } end
  -- A retraction sets it to 1 again.
  set('rewrite_due', '0', 'rewrite_began', text(clock))
end

local copied, size, is_whole = 0, 0, false
while not is_whole and copied < limit and size < bytes do
  local count = math.min(STEP, limit - copied)
  local list = redis.call('XRANGE', LOG, from, '+', 'COUNT', count)
  for _, entry in ipairs(list) do
    local added = redis.pcall('XADD', COPY, entry[1], unpack(entry[2]))
    if type(added) == 'table' and added.err then
      give_up()
      if string.find(added.err, 'OOM', 1, true) then return { 'memory' } end
      return added
    end
    from, size = '(' .. entry[1], size + size_of(entry[2])
  end
  copied = copied + #list
  is_whole = #list < count
end
if not is_whole then return { 'more' } end

local log, copy = facts_of(LOG), facts_of(COPY)
local first_of_log, first_of_copy = log['first-entry'], copy['first-entry']
if log.length ~= copy.length or first_of_log[1] ~= first_of_copy[1] then
  -- Another program has changed the log meanwhile.
  give_up()
  return { 'again' }
end
redis.call('XSETID', COPY, log['last-generated-id'], 'ENTRIESADDED', log['entries-added'],
  'MAXDELETEDID', log['max-deleted-entry-id'])
-- Unlinked first, because a long stream that a rename replaces would block the server.
redis.call('UNLINK', LOG)
redis.call('RENAME', COPY, LOG)
if get('rewrite_due') == '0' then redis.call('HDEL', STATE, 'rewrite_due') end
return { 'done' }
