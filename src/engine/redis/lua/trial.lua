-- Tries each command that a publish writes with, on keys of its own, so that a server or a user that would refuse a publish
-- is noticed before one comes. Leaves nothing behind.
--
-- ARGV: time, and the node's name. Returns nothing, or fails as a publish would.

local list, hash, set_of = base .. 'trial-log', base .. 'trial-hash', base .. 'trial-set'
-- First what needs memory: a script that has written something else before may go on when there is none.
local id = redis.call('XADD', list, '*', 'node', ARGV[2])
redis.call('XRANGE', list, '-', '+', 'COUNT', 1)
redis.call('XREVRANGE', list, '+', '-', 'COUNT', 1)
redis.call('XLEN', list)
redis.call('XDEL', list, id)
redis.call('HSET', hash, 'bytes', '1')
redis.call('HINCRBY', hash, 'bytes', 1)
redis.call('HDEL', hash, 'bytes')
redis.call('ZADD', set_of, 0, 'a')
redis.call('ZSCORE', set_of, 'a')
redis.call('ZRANGE', set_of, 0, 0)
redis.call('ZCARD', set_of)
redis.call('ZREM', set_of, 'b')
redis.call('ZREMRANGEBYLEX', set_of, '-', '[0')
redis.call('ZREMRANGEBYRANK', set_of, 0, 0)
redis.call('DEL', list, hash, set_of)
return {}
