package engineio

import (
	"errors"
	"net/http"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/turns"
	"github.com/streamweir/weir/internal/wire/eio"
)

// The rules of protocol.md 1.4 for the requests of one session, on its loop.

var (
	errOverlap     = errors.New("engineio: request overlaps one of its kind")
	errOctetStream = errors.New("engineio: POST of application/octet-stream")
)

// requests are how a session is carried by polling.
type requests struct {
	transport.Polling
	heard  int64     // when the last request came
	giveUp int64     // closing without a GET: when to stop waiting for one
	held   *heldPost // whose packets are not all handled
}

// heldPost is a POST whose packets wait for Resume, or for another turn.
type heldPost struct {
	exchange *transport.Exchange
	payload  eio.Payload
	waits    bool // for a turn
}

// get takes a GET. Its answer may come much later.
func (s *Session) get(x *transport.Exchange) {
	switch {
	case s.ws != nil:
		x.Answer(s.shard.refuse(eio.BadRequest))
		return
	case s.state != open:
		s.poll.Get(x)
		s.poll.EndGetWith(s.turn.words, s.turn.ending.last)
		s.finish()
		return
	}
	s.poll.heard = s.now()
	if !s.poll.Get(x) {
		x.Answer(transport.Refuse(http.StatusBadRequest))
		s.abort(base.CauseTransportError, errOverlap)
		return
	}
	if u := s.upgrade(); u != nil {
		u.got(s.poll.heard)
		s.arm(s.poll.heard)
	}
	s.host.Writable()
}

// responded takes the report of a GET's end: see transport.Polling.Done.
func (s *Session) responded(x *transport.Exchange, err error) {
	if s.poll == nil || s.state == closed {
		return
	}
	if s.poll.Done(x, err) && s.state == open {
		s.abort(base.CauseTransportError, err)
		return
	}
	s.noteWritten()
	s.dropPolling()
	if s.state == open {
		s.host.Writable()
	}
}

// noteWritten tells the heartbeat that a response was written, and with it the
// ping that was in it.
func (s *Session) noteWritten() {
	switch {
	case s.ws != nil || s.poll.Writing():
	case s.heart.phase() == taken:
		s.heart.handed(s.now(), s.poll.Progress())
	default:
		s.heart.look(s.now(), s.poll.Progress())
	}
}

// beginPost takes a POST before its body is read; Continue is the answer that
// wants the body.
func (s *Session) beginPost(x *transport.Exchange, octets bool) {
	switch {
	case s.ws != nil:
		x.Answer(s.shard.refuse(eio.BadRequest))
		return
	case s.state != open:
		x.Answer(s.shard.refuse(eio.SessionUnknown))
		return
	case octets:
		x.Answer(transport.Refuse(http.StatusBadRequest))
		s.abort(base.CauseTransportError, errOctetStream)
		return
	}
	s.poll.heard = s.now()
	if !s.poll.BeginPost(x) {
		x.Answer(transport.Refuse(http.StatusBadRequest))
		s.abort(base.CauseTransportError, errOverlap)
	}
}

// body takes the packets of a POST. They are handled in turns; while the session is paused they wait, and so does the
// client for its answer, which says that all of them have been handled.
func (s *Session) body(x *transport.Exchange, body []byte) {
	s.poll.heard = s.now()
	s.poll.held = &heldPost{exchange: x, payload: eio.NewPayload(body)}
	s.handleHeld()
}

// Turn implements turns.Taker: it goes on with a POST.
func (s *Session) Turn() bool {
	if s.poll != nil && s.poll.held != nil {
		s.poll.held.waits = false
	}
	s.handleHeld() // asks for the next
	return false
}

// handleHeld delivers packets up to the first bad one, as many as a turn allows, and answers the POST after the last.
func (s *Session) handleHeld() {
	if s.poll == nil || s.poll.held == nil || s.paused && s.state == open || s.poll.held.waits {
		return
	}
	held := s.poll.held
	if s.state != open {
		s.poll.held = nil
		s.poll.EndPost(held.exchange, s.shard.refuse(eio.SessionUnknown))
		return
	}
	s.poll.held = nil // what ends the session answers those that wait; this one gets its own answer
	done, err := s.some(&held.payload)
	switch {
	case !done && s.state == open:
		s.poll.held = held
		if !s.paused {
			held.waits = true
			s.shard.sockets.Turns.Add(s)
		}
		return
	case s.state == open && err != nil:
		s.Fault(base.CauseParseError, err)
	}
	s.poll.EndPost(held.exchange, s.handled())
	s.dropPolling()
}

// some handles packets until the turn or the payload ends.
func (s *Session) some(d *eio.Payload) (done bool, err error) {
	t := s.shard.sockets.Turns
	if t.Over() {
		return false, nil
	}
	for began := t.Spent(); d.More(); {
		if s.paused || t.Enough(began) {
			return false, nil
		}
		before := d.Left()
		p, err := d.Next()
		t.Spend(turns.Message + before - d.Left())
		if err != nil {
			return true, err
		}
		if err := s.packet(p); err != nil {
			return true, err
		}
	}
	return true, nil
}

// loseBody ends a POST whose packets never came, or whose client has left.
func (s *Session) loseBody(x *transport.Exchange, err error) {
	if s == nil || s.poll == nil || !s.poll.EndPost(x, transport.Refuse(http.StatusBadRequest)) {
		return // it had ended, or never begun
	}
	if s.state == open {
		s.abort(base.CauseTransportError, err)
	}
}

// dropPolling forgets the transport the session was upgraded from, once its
// last request is over.
func (s *Session) dropPolling() {
	if s.ws != nil && s.poll != nil && !s.poll.Busy() {
		s.poll = nil
	}
}
