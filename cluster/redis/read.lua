-- Reads entries of a log.
-- KEYS: the stream, its state. ARGV: offset to read after, entries at most, bytes of data at most.
-- Returns {now, epoch, first, last, {offset, previous, data} ...}; epoch is "" where there is none.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local known = redis.call('GET', KEYS[2])
if not known then return {now, '', 1, 0} end
local epoch, last = string.match(known, '^(%S+) (%d+)$')
last = tonumber(last)

local first = last + 1
local oldest = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', 1)
if #oldest > 0 then first = tonumber(string.match(oldest[1][1], '^%d+')) end

local page, bytes = {now, epoch, first, last}, 0
local most, room = tonumber(ARGV[2]), tonumber(ARGV[3])
local from = '(' .. ARGV[1] .. '-0'
while #page - 4 < most do
	local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(most - (#page - 4), 64))
	if #entries == 0 then break end
	for _, e in ipairs(entries) do
		bytes = bytes + #e[2][6]
		if bytes > room and #page > 4 then return page end
		page[#page + 1] = {tonumber(string.match(e[1], '^%d+')), tonumber(e[2][4]), e[2][6]}
		from = '(' .. e[1]
	end
end
return page
