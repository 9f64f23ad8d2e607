-- Reads or changes the keys of users that a fleet shares.
--
-- ARGV: time, and the expected revision, or empty to read. To change: a number that the new revision must exceed, the number
-- of keys to store, id and JSON of each, then the ids of the keys to remove. Returns, for reading, the revision, the number
-- of keys that were saved, then id and JSON of each key that is there; for a change the new revision, or nothing if the
-- revision is not the expected one.

local revision, count = get('keys_revision', '0'), count_of_keys()
if ARGV[2] == '' then
  local answer = { revision, get('keys_count', text(count)) }
  if count < 0 then return answer end
  for _, part in ipairs(redis.call('HGETALL', SHARED_KEYS)) do answer[#answer + 1] = part end
  return answer
end
if revision ~= ARGV[2] then return {} end
revision = text(math.max(tonumber(revision), tonumber(ARGV[3])) + 1)
if count < 0 then redis.call('DEL', SHARED_KEYS) end
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do redis.call('HSET', SHARED_KEYS, ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('HDEL', SHARED_KEYS, ARGV[i]) end
set('keys_revision', revision, 'keys_count', text(count_of_keys()))
-- Any message makes the nodes compare themselves with the log, and so find the new revision.
redis.call('PUBLISH', LIVE, '*')
return { revision }
