package lane_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
)

var update = flag.Bool("update", false, "rewrite the results in testdata/*.txt")

// TestScripts replays the scenarios of testdata. A line that starts with "> " is
// a command, the indented line after it its result, the rest is prose:
//
//	policy name=value…        a new lane; sizes in bytes, times in ticks of the clock
//	offer ID SIZE [key=K] [ttl=N]
//	take N | wrote N | untake N | abandon N REASON    N entries of those taken
//	send N                    take and wrote
//	ack ID… | due | busy | expire | evict AT | trim | close REASON | loss
//	wait N                    moves the clock, which starts at 1000
//
// Wrote reports the oldest entries taken, untake and abandon the newest.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) { replay(t, file) })
	}
}

func replay(t *testing.T, file string) {
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	s := &script{}
	for line := range strings.Lines(string(want)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		got.WriteString(line + "\n")
		if command, ok := strings.CutPrefix(line, "> "); ok {
			fmt.Fprintf(&got, "  %s\n", s.run(t, strings.Fields(command)))
		}
	}
	if *update {
		if err := os.WriteFile(file, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if got.String() != string(want) {
		t.Errorf("%s: the results differ; this is what they are now:\n%s", file, got.String())
	}
}

// script is the lane of a script and what has been taken from it.
type script struct {
	*rig
	out []lane.Entry
}

func (s *script) run(t *testing.T, words []string) string {
	t.Helper()
	name, args := words[0], words[1:]
	if name == "policy" {
		s.rig, s.out = newRig(t, parsePolicy(t, args)), nil
		return s.status()
	}
	if result := s.do(name, args); result != "" {
		return result + " | " + s.status()
	}
	return s.status()
}

func (s *script) do(name string, args []string) string {
	switch name {
	case "offer":
		return outcomes[s.offer(parseMessage(s.t, args))]
	case "take":
		entries := s.take(s.number(args))
		s.out = append(s.out, entries...)
		return s.list(entries)
	case "send":
		entries := s.take(s.number(args))
		defer s.wrote(entries...)
		return s.list(entries)
	case "wrote":
		n := s.number(args)
		s.wrote(s.out[:n]...)
		s.out = s.out[n:]
		return ""
	case "untake", "abandon":
		for range s.number(args) {
			s.giveBack(args[1:])
		}
		return ""
	case "ack":
		return s.acks(args)
	case "due":
		again, exhausted := s.Due(s.now)
		return fmt.Sprintf("%d again, %d exhausted", again, exhausted)
	case "evict":
		return fmt.Sprint(s.Evict(int64(s.number(args))), " evicted")
	case "loss":
		n, r, ok := s.TakeLoss()
		if !ok {
			return "none lost"
		}
		return fmt.Sprintf("%d lost, the last for %s", n, r)
	}
	return s.quiet(name, args)
}

// quiet runs the commands that return nothing.
func (s *script) quiet(name string, args []string) string {
	switch name {
	case "wait":
		s.advance(time.Duration(s.number(args)))
	case "busy":
		s.Busy(s.now)
	case "expire":
		s.Expire(s.now)
	case "trim":
		s.Trim()
	case "close":
		s.Close(parseReason(s.t, args[0]))
	default:
		s.t.Fatalf("unknown command %s", name)
	}
	return ""
}

// giveBack ends the newest entry taken: abandoned if there is a reason.
func (s *script) giveBack(reason []string) {
	last := len(s.out) - 1
	e := s.out[last]
	s.out = s.out[:last]
	if len(reason) == 0 {
		s.Untake(e)
		return
	}
	s.Abandon(e, parseReason(s.t, reason[0]))
}

func (s *script) acks(ids []string) string {
	var results []string
	for _, id := range ids {
		result := id + " unknown"
		if at, ok := s.Ack(id); ok {
			result = fmt.Sprintf("%s of %d", id, at)
		}
		results = append(results, result)
	}
	return strings.Join(results, ", ")
}

func (s *script) list(entries []lane.Entry) string {
	if len(entries) == 0 {
		return "nothing"
	}
	var out []string
	for i := range entries {
		id := entries[i].Message().ID
		if entries[i].Frame() != entries[i].Message().Frame(base.Plain) {
			id += " (again)"
		}
		out = append(out, id)
	}
	return strings.Join(out, ", ")
}

// status is the lane in one line; what is zero is left out of the books.
func (s *script) status() string {
	text := fmt.Sprintf("at %d: holds %d, %d B, %d in flight", s.now, s.Depth(), s.Bytes(), s.InFlight())
	if at := s.NextDeadline(); at != 0 {
		text += fmt.Sprint(", next at ", at)
	}
	text += fmt.Sprint("; offered ", s.Offered)
	add := func(name string, n uint64) {
		if n != 0 {
			text += fmt.Sprintf(", %s %d", name, n)
		}
	}
	add("written", s.Written)
	add("acked", s.Acked())
	add("retries", s.Retries())
	add("coalesced", s.Coalesced())
	for r := range base.Reasons {
		add(base.Reason(r).String(), s.Dropped(base.Reason(r)))
	}
	if !s.Balanced() {
		text += ", NOT BALANCED"
	}
	return text
}

func (s *script) number(args []string) int { return parseInt(s.t, args[0]) }

var outcomes = map[lane.Fate]string{
	lane.Accepted: "accepted", lane.Coalesced: "coalesced", lane.DroppedOldest: "dropped oldest",
	lane.Rejected: "rejected", lane.TooLarge: "too large", lane.Disconnect: "disconnect",
}

func parseMessage(t testing.TB, args []string) msg {
	t.Helper()
	m := msg{id: args[0], size: parseInt(t, args[1])}
	for _, arg := range args[2:] {
		switch name, value, _ := strings.Cut(arg, "="); name {
		case "key":
			m.key = value
		case "ttl":
			m.ttl = int64(parseInt(t, value))
		default:
			t.Fatalf("offer: unknown %s", arg)
		}
	}
	return m
}

func parsePolicy(t testing.TB, args []string) (p lane.Policy) {
	t.Helper()
	p = lane.Policy{MaxMessages: 100, MaxBytes: 1000, MaxInFlight: 1, Weight: 1}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		var err error
		switch name {
		case "mode":
			err = p.Mode.UnmarshalText([]byte(value))
		case "overflow":
			err = p.Overflow.UnmarshalText([]byte(value))
		case "messages":
			p.MaxMessages = parseInt(t, value)
		case "bytes":
			p.MaxBytes = parseInt(t, value)
		case "window":
			p.MaxInFlight = parseInt(t, value)
		case "timeout":
			p.AckTimeout = time.Duration(parseInt(t, value))
		case "retries":
			p.MaxRetries = parseInt(t, value)
		case "backoff":
			p.Backoff, err = strconv.ParseFloat(value, 64)
		default:
			t.Fatalf("policy: unknown %s", arg)
		}
		if err != nil {
			t.Fatalf("policy: %v", err)
		}
	}
	return p
}

func parseReason(t testing.TB, name string) base.Reason {
	t.Helper()
	for r := range base.Reasons {
		if base.Reason(r).String() == name {
			return base.Reason(r)
		}
	}
	t.Fatalf("unknown reason %s", name)
	return 0
}

func parseInt(t testing.TB, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("number %q: %v", s, err)
	}
	return n
}
