-- Appends entries to a log, all or none, and tells its followers.
-- KEYS: the stream, its state.
-- ARGV: deadline (ms), epoch if one has to begin, id of this append, offset to be above of, entries to keep,
--       seconds until a log that is not used expires, offset after which to look for the id ("": not tried before),
--       the followers' channel, data ...
-- Returns {"ok", now, epoch, previous, offset ...}, {"late", now}, {"wait", now} or {"gone", now}.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local stream, state, id = KEYS[1], KEYS[2], ARGV[3]
local n = #ARGV - 8

local function text(number) return string.format('%.0f', number) end

local epoch, last
local known = redis.call('GET', state)
if known then
	epoch, last = string.match(known, '^(%S+) (%d+)$')
	last = tonumber(last)
end

if ARGV[7] ~= '' and epoch then
	-- An earlier attempt may have been executed: look for its entries.
	local from, found = '(' .. ARGV[7] .. '-0', {}
	local first = true
	while true do
		local page = redis.call('XRANGE', stream, from, '+', 'COUNT', 100)
		for _, e in ipairs(page) do
			if first and tonumber(e[2][4]) > tonumber(ARGV[7]) then return {'gone', now} end
			first = false
			if e[2][2] == id then
				if #found == 0 then found = {'ok', now, epoch, tonumber(e[2][4])} end
				found[#found + 1] = tonumber(string.match(e[1], '^%d+'))
			end
			from = '(' .. e[1]
		end
		if #page < 100 then break end
	end
	if #found == n + 4 then return found end
	if #found > 0 then return {'gone', now} end
end
if now > tonumber(ARGV[1]) then return {'late', now} end

-- The stream must end where the state says; else both count as lost.
if not epoch then
	redis.call('UNLINK', stream)
	epoch, last = ARGV[2], 0
end
local previous = last
local offset = math.max((now - 1735689600000) * 4096 + 1, last + 1, tonumber(ARGV[4]) + 1)
local answer = {'ok', now, epoch, previous}
local live = {epoch, ' ', tostring(n)}
for k = 1, n do
	local data = ARGV[8 + k]
	local args = {'XADD', stream, 'MAXLEN', ARGV[5], text(offset) .. '-0', 'i', id, 'p', text(previous), 'd', data}
	local ok = redis.pcall(unpack(args))
	if type(ok) == 'table' and ok.err then
		if k > 1 or not string.find(ok.err, 'equal or smaller') then return redis.error_reply(ok.err) end
		redis.call('UNLINK', stream)
		epoch, previous = ARGV[2], 0
		answer[3], answer[4], live[1] = epoch, 0, epoch
		args[9] = '0'
		redis.call(unpack(args))
	end
	answer[#answer + 1] = offset
	live[#live + 1] = ' ' .. text(offset) .. ' ' .. text(previous) .. ' ' .. #data .. ' '
	live[#live + 1] = data
	previous, offset = offset, offset + 1
end
redis.call('SET', state, epoch .. ' ' .. text(previous), 'EX', ARGV[6])
redis.call('EXPIRE', stream, ARGV[6])
redis.call('PUBLISH', ARGV[8], table.concat(live))
return answer
