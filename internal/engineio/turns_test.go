package engineio

import (
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wire/eio"
)

// counting is a host that counts messages, and may pause the session at one.
type counting struct {
	nobody
	session *Session
	n       int
	pauseAt int
}

func (c *counting) Message([]byte, bool) error {
	if c.n++; c.n == c.pauseAt {
		c.session.Pause()
	}
	return nil
}

// A POST of many packets is handled in turns, stops at the very packet at which the session pauses, and is answered when
// all have been handled.
func TestPostOfManyPacketsIsHandledInTurns(t *testing.T) {
	const packets = 5000
	body := []byte(strings.TrimSuffix(strings.Repeat("4x\x1e", packets), "\x1e"))
	server, tr := &Server{opts: Options{Now: func() int64 { return 0 }}}, &turns.Turns{}
	h := &counting{pauseAt: 1000}
	s := &Session{shard: &shard{server: server, sockets: &transport.WebSocketOptions{Turns: tr}}, host: h, poll: &requests{}}
	h.session = s
	x := transport.NewExchange()
	s.poll.BeginPost(x)
	s.body(x, eio.NewPayload(body))
	first := h.n
	tr.Begin()
	tr.Spend(turns.Step) // newcomers have taken all of it: it has a turn all the same
	if tr.Run(); h.n == first {
		t.Error("nothing was done in its turn")
	}
	most, before := 0, h.n
	step := func() {
		tr.Begin()
		tr.Run()
		most, before = max(most, h.n-before), h.n
	}
	for most = max(first, h.n-first); tr.Waiting() > 0; step() {
	}
	if h.n != 1000 || !s.poll.Reading(x) {
		t.Fatalf("%d packets were handled before the pause, want 1000; the POST is answered: %v", h.n, !s.poll.Reading(x))
	}
	s.paused = false
	s.handleWaiting()
	before = h.n
	for tr.Waiting() > 0 {
		step()
	}
	if share := turns.Share/turns.Message + 1; h.n != packets || most > share {
		t.Errorf("%d packets were handled, at most %d in a step; want %d and %d", h.n, most, packets, share)
	}
	if s.poll.Reading(x) {
		t.Error("the POST is not answered")
	}
}
