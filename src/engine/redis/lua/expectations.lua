-- Reads or changes what a fleet expects on topics.
--
-- ARGV: time, and the expected revision, or empty to read. To change: a number that the new revision must exceed, the number
-- of topics to store, topic and JSON of each, then the topics to remove. Returns, for reading, the revision, then topic and
-- JSON of each; for a change the new revision, or nothing if the revision is not the expected one.

local EXPECTATIONS = base .. 'expectations'
local revision = get('expectations_revision', '0')
if ARGV[2] == '' then
  local answer = { revision }
  for _, part in ipairs(redis.call('HGETALL', EXPECTATIONS)) do answer[#answer + 1] = part end
  return answer
end
if revision ~= ARGV[2] then return {} end
revision = text(math.max(tonumber(revision), tonumber(ARGV[3])) + 1)
local last = 4 + 2 * tonumber(ARGV[4])
for i = 5, last, 2 do redis.call('HSET', EXPECTATIONS, ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('HDEL', EXPECTATIONS, ARGV[i]) end
set('expectations_revision', revision)
return { revision }
