-- Ends what was stored under `replicas:N`: announces it, or takes out again what the replicas did not confirm.
--
-- ARGV: time, epoch, `1` where they have it, the newest id, and the ids that were stored with their idempotency keys or empty
-- ones. Answers the ids that are in the log and visible, whoever announced them.

if get('epoch', '') ~= ARGV[2] then return {} end
if ARGV[3] == '1' then announce(ARGV[4]) end
local shown, visible = get('shown', '0-0'), {}
for i = 5, #ARGV, 2 do
  local id, key = ARGV[i], ARGV[i + 1]
  if not less(shown, id) and (is_known(id) or not less(get('trim', '0-0'), id)) then
    visible[#visible + 1] = id
  else
    local fields = entry_of(id)
    if fields then take_out(id, fields) end
    if key ~= '' then
      redis.call('HDEL', IDEM, key)
      redis.call('ZREM', IDEM_AGE, key)
    end
  end
end
return visible
