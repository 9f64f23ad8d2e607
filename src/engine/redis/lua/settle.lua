-- The second step of a store under `replicas:N`: announces the alerts, or removes those that the replicas did not confirm.
--
-- ARGV: time, epoch, `1` if enough replicas confirmed, the newest id; then each stored id with its idempotency key, which
-- may be empty. Returns the ids that are in the log and visible, whichever node announced them.

if get('epoch', '') ~= ARGV[2] then return {} end
if ARGV[3] == '1' then announce(ARGV[4]) end
local newest_visible, visible = get('shown', '0-0'), {}
for i = 5, #ARGV, 2 do
  local id, key = ARGV[i], ARGV[i + 1]
  if not less(newest_visible, id) and (is_known(id) or not less(get('trim', '0-0'), id)) then
    visible[#visible + 1] = id
  else
    local fields = entry_of(id)
    if fields then remove(id, fields) end
    if key ~= '' then
      redis.call('HDEL', IDEM, key)
      redis.call('ZREM', IDEM_AGE, key)
    end
  end
end
return visible
