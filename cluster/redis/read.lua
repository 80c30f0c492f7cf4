-- Reads entries of a log, see append.lua.
-- KEYS: the stream, its state. ARGV: offset to read after, entries at most, bytes of data at most.
-- Returns {now, epoch, first, last, {offset, previous, data} ...}; epoch is "" where there is none.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local known = redis.call('GET', KEYS[2])
local epoch, last, total, keep
if known then
	epoch, last, total, keep = string.match(known, '^(%S+) (%d+) (%d+) (%d+) %S+ %d+ %d+$')
end
if not epoch then return {now, '', 1, 0} end
last = tonumber(last)
local gone = total - keep -- entries of this epoch that are not kept

-- of a block: the offset of its first entry that is kept, the offset before the block, that of its first entry and of its last.
local function bounds(block)
	local offset, previous, before = string.match(block[2][2], '^%S+ (%d+) (%d+) (%d+)$')
	offset = tonumber(offset)
	return offset + math.max(0, gone - before), tonumber(previous), offset, tonumber(string.match(block[1], '^%d+'))
end

-- How many blocks are fetched after these: twice as many, and no more than 16, nor than there is room for where they are as large.
local function next_count(blocks, count, room)
	local size = 1
	for _, block in ipairs(blocks) do size = math.max(size, #block[2][4]) end
	return math.max(1, math.min(16, 2 * count, math.floor(room / size)))
end

local most, room = tonumber(ARGV[2]), tonumber(ARGV[3])

-- At most 32 entries, and what a block has, are there and not kept; more only just after fewer are to be kept than before.
local first, from, count = last + 1, '-', 1
while first > last do
	local blocks = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', count)
	if #blocks == 0 then break end
	for _, block in ipairs(blocks) do
		local kept, _, _, ending = bounds(block)
		if kept <= ending then
			first = kept
			break
		end
		from = '(' .. block[1]
	end
	count = next_count(blocks, count, room)
end

local page, bytes = {now, epoch, first, last}, 0
local after = math.max(tonumber(ARGV[1]), first - 1)
from, count = '(' .. string.format('%d', after) .. '-0', 1
while true do
	local blocks = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', math.min(most - (#page - 4), count))
	if #blocks == 0 then return page end
	for _, block in ipairs(blocks) do
		local _, previous, offset = bounds(block)
		local body = block[2][4]
		local lengths, at = string.match(body, '^([%d,]+)\n()')
		for length in string.gmatch(lengths, '%d+') do
			length = tonumber(length)
			if offset > after then
				bytes = bytes + length
				if #page - 4 >= most or (bytes > room and #page > 4) then return page end
				page[#page + 1] = {offset, previous, string.sub(body, at, at + length - 1)}
			end
			at, previous, offset = at + length, offset, offset + 1
		end
		from = '(' .. block[1]
	end
	if #page - 4 >= most then return page end
	count = next_count(blocks, count, room - bytes)
end
