-- Appends entries to a log, all or none, and tells its followers. They are one entry of the stream, a block: its id is the
-- offset of the last, its fields are h ("append first previous before": the id of the append, the offset of the first, the
-- offset before that, and how many entries of this epoch are before them) and d, their body.
-- KEYS: the stream, its state ("epoch last total keep oldest upto renewed": the last offset, how many entries there were in
-- this epoch and how many are kept; id of the oldest block, and which of all its last entry is; when the log's life was renewed).
-- ARGV: deadline (ms), epoch if one has to begin, id of this append, offset to be above of, entries to keep,
--       seconds until a log that is not used expires, offset after which to look for the id ("": not tried before),
--       the followers' channel, how many entries, their body.
-- Returns {"ok", now, epoch, previous, first}, {"late", now}, {"gone", now}, or {"unsettled", now, why}: the block is there, and
-- readers or followers may not learn of it.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local stream, state, id = KEYS[1], KEYS[2], ARGV[3]
local keep, ttl, n = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[9])

local function head(block) return string.match(block[2][2], '^(%S+) (%d+) (%d+) (%d+)$') end

local epoch, last, total, oldest, upto, renewed
local known = redis.call('GET', state)
if known then
	epoch, last, total, oldest, upto, renewed = string.match(known, '^(%S+) (%d+) (%d+) %d+ (%S+) (%d+) (%d+)$')
	last, total, upto, renewed = tonumber(last), tonumber(total), tonumber(upto), tonumber(renewed)
end

if ARGV[7] ~= '' and epoch then
	-- An earlier attempt may have been executed: look for its block.
	local from, first = '(' .. ARGV[7] .. '-0', true
	while true do
		local page = redis.call('XRANGE', stream, from, '+', 'COUNT', 16)
		for _, block in ipairs(page) do
			local of, offset, previous = head(block)
			if first and tonumber(previous) > tonumber(ARGV[7]) then return {'gone', now} end
			first = false
			if of == id then return {'ok', now, epoch, tonumber(previous), tonumber(offset)} end
			from = '(' .. block[1]
		end
		if #page < 16 then break end
	end
end
if now > tonumber(ARGV[1]) then return {'late', now} end

if not epoch then
	redis.call('UNLINK', stream)
	epoch, last, total, upto, renewed = ARGV[2], 0, 0, 0, 0
end
local previous = last
local first = math.max((now - 1735689600000) * 4096 + 1, last + 1, tonumber(ARGV[4]) + 1)
last = first + n - 1
local block = string.format('%d-0', last)
local place = string.format('%d %d', first, previous)
local added = redis.pcall('XADD', stream, 'NOMKSTREAM', block, 'h', id .. ' ' .. place .. ' ' .. total, 'd', ARGV[10])
if not added or added.err then
	if added and not string.find(added.err, 'equal or smaller') then return added end
	if added then -- the stream must end where the state says; else both count as lost
		redis.call('UNLINK', stream)
		epoch, previous, total = ARGV[2], 0, 0
		place = string.format('%d %d', first, previous)
	end
	redis.call('XADD', stream, block, 'h', id .. ' ' .. place .. ' ' .. total, 'd', ARGV[10])
	oldest, upto, renewed = block, total + n, 0
end
total = total + n

-- What follows the block itself. Where it fails (a user who may not publish here) the block is there all the same.
local function settle()
	-- Blocks of which no entry is kept go, 32 entries or more at a time; readers do not see them. Where each has one entry the engine
	-- knows which; else the rest is looked for, about a thousand blocks in a call.
	if total - keep - upto >= 32 then
		redis.call('XTRIM', stream, 'MAXLEN', keep)
		local count, due = 1, true
		while due and count < 1024 do
			for _, b in ipairs(redis.call('XRANGE', stream, '(' .. oldest, '+', 'COUNT', math.min(count, 16))) do
				local _, offset, _, before = head(b)
				oldest, upto = b[1], before + string.match(b[1], '^%d+') - offset + 1
				due = upto <= total - keep
				if not due then break end
			end
			count = count + math.min(count, 16)
		end
		redis.call('XTRIM', stream, 'MINID', oldest)
	end

	-- A log lives for ttl seconds after its last append, and up to an eighth longer: so this need not be renewed each time.
	local renew = now - renewed > ttl * 125
	if renew then renewed = now end
	known = string.format('%s %d %d %s %s %d %d', epoch, last, total, ARGV[5], oldest, upto, renewed)
	if renew then
		local life = ttl + math.ceil(ttl / 8)
		redis.call('SET', state, known, 'EX', life)
		redis.call('EXPIRE', stream, life)
	else
		redis.call('SET', state, known, 'KEEPTTL')
	end
	redis.call('PUBLISH', ARGV[8], epoch .. ' ' .. place .. ' ' .. ARGV[10])
end
local settled, failure = pcall(settle)
if not settled then return {'unsettled', now, type(failure) == 'table' and failure.err or tostring(failure)} end
return {'ok', now, epoch, previous, first}
