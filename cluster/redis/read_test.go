package redis_test

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/redis/rueidis"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/internal/redistest"
)

// weighed has read.lua answer in how many calls it has fetched how many bytes, how many entries it would have answered, and
// the offset of the last.
const weighed = `
local engine, calls, bytes = redis, 0, 0
local redis = {call = function(...)
	local answer = engine.call(...)
	if (...) == 'XRANGE' then
		calls = calls + 1
		for _, block in ipairs(answer) do bytes = bytes + #block[2][4] end
	end
	return answer
end}
local function read()
SOURCE
end
local page = read()
return {calls, bytes, #page - 4, #page > 4 and page[#page][1] or 0}`

// A page costs what it has: of large blocks the script fetches a few, of small ones many at a time.
func TestReadFetchesLittleMoreThanItAnswers(t *testing.T) {
	t.Parallel()
	const room, log = 1 << 20, "l"
	source, err := os.ReadFile("read.lua")
	if err != nil {
		t.Fatal(err)
	}
	script := rueidis.NewLuaScript(strings.Replace(weighed, "SOURCE", string(source), 1))
	s := redistest.Start(t)
	m := join(t, s.Addr(), "", newEar())
	client, err := rueidis.NewClient(rueidis.ClientOption{InitAddress: []string{s.Addr()}, ForceSingleClient: true, DisableCache: true})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, of := range []struct{ blocks, entries, size int }{{20, 128, 8 << 10}, {20, 1, room}, {600, 1, 100}, {300, 3, 5000}} {
		s.Do("FLUSHALL")
		data := make([][]byte, of.entries)
		for i := range data {
			data[i] = make([]byte, of.size)
		}
		for range of.blocks {
			if _, err := m.Append(t.Context(), log, cluster.AppendOptions{Keep: 100_000}, data...); err != nil {
				t.Fatal(err)
			}
		}
		body := of.entries * (of.size + 10)
		for after, total := int64(0), int64(0); total < int64(of.blocks*of.entries); {
			args := []string{strconv.FormatInt(after, 10), "1000", strconv.Itoa(room)}
			answer, err := script.Exec(t.Context(), client, []string{"weir:log:{l}", "weir:log:{l}:s"}, args).AsIntSlice()
			if err != nil {
				t.Fatal(err)
			}
			if answer[2] == 0 {
				t.Fatalf("%+v: nothing comes after %d entries", of, total)
			}
			after, total = answer[3], total+answer[2]
			// beside the entries: the first block of the log, what the page leaves of its own first, and what has no room any more
			most := int(answer[2])*(of.size+10) + 2*body + max(body, min(16*body, room/4))
			if int(answer[1]) > most || int(answer[0]) > 8+int(answer[2])/16 {
				t.Errorf("%+v: a page of %d entries has taken %d calls for %d bytes, want at most %d bytes", of, answer[2], answer[0], answer[1], most)
			}
		}
	}
}
