-- Lists topics that have alerts; changes nothing.
--
-- ARGV: time, the limit for each run, and the runs: each has a kind (`=` one name, `<` all names with this prefix) and a
-- text. Returns the names.

local names = {}
for i = 3, #ARGV do
  local kind, name = string.sub(ARGV[i], 1, 1), string.sub(ARGV[i], 2)
  local last = kind == '=' and '[' .. name or '(' .. name .. '\255'
  for _, topic in ipairs(redis.call('ZRANGEBYLEX', TOPICS, '[' .. name, last, 'LIMIT', 0, ARGV[2])) do
    names[#names + 1] = topic
  end
end
return names
