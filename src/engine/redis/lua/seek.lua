-- Finds where a stream begins; changes nothing.
--
-- ARGV: time, the cursor or empty, level, and the patterns. Returns the newest visible id, the newest removed id for these
-- patterns, the oldest id or empty, `1` if the cursor is known.

local cursor = ARGV[2]
local is_cursor_known = '0'
if cursor == '0-0' then
  if get('trim', '0-0') == '0-0' and get('topic_trim', '0-0') == '0-0' then is_cursor_known = '1' end
elseif cursor ~= '' and is_known(cursor) then
  is_cursor_known = '1'
end
return { get('shown', '0-0'), trimmed_for(patterns(4), cursor), oldest_id(), is_cursor_known }
