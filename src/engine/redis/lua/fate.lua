-- What is stored about an alert that is to be taken back; shared by the scripts that read and change it.

-- The id of the record that takes it back, and the topic; or `there` and its user, if it is an alert and visible, or left to
-- its unresolved incident by retention; or nothing.
local function fate_of(id)
  local retraction = redis.call('HGET', RETRACTED, id)
  if retraction then return retraction end
  local fields = not less(get('shown', '0-0'), id) and entry_of(id)
  if fields then
    if (further(fields, 'kind') or 'alert') ~= 'alert' then return '' end
    return 'there ' .. (further(fields, 'user') or '')
  end
  return redis.call('HEXISTS', LAST_ALERTS, id) == 1 and not entry_of(id) and 'there ' or ''
end

