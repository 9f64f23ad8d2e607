-- The keys that a fleet shares: all of them, or a change of them.
--
-- ARGV: time, and the revision that is expected, or empty to get all; then one that the new revision is above, the number
-- of keys to be kept, each by id and JSON, and the ids of those to be kept no longer. Answers the revision and then, where
-- all were asked for, how many were saved and each that is there by id and JSON; nothing where the revision is another one.

local revision, count = get('keys_revision', '0'), count_of_keys()
if ARGV[2] == '' then
  local answer = { revision, get('keys_count', text(count)) }
  if count < 0 then return answer end
  for _, part in ipairs(redis.call('HGETALL', VAULT)) do answer[#answer + 1] = part end
  return answer
end
if revision ~= ARGV[2] then return {} end
revision = text(math.max(tonumber(revision), tonumber(ARGV[3])) + 1)
if count < 0 then redis.call('DEL', VAULT) end
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do redis.call('HSET', VAULT, ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('HDEL', VAULT, ARGV[i]) end
set('keys_revision', revision, 'keys_count', text(count_of_keys()))
-- The nodes look, and find another revision than theirs.
redis.call('PUBLISH', LIVE, '*')
return { revision }
