package engineio

import (
	"errors"
	"net/http"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
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
	held   *heldPost // came while the session was paused
}

// heldPost is a POST whose packets wait for Resume.
type heldPost struct {
	exchange *transport.Exchange
	body     []byte
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

// body takes the packets of a POST; while paused they wait, and so does the
// client for its answer.
func (s *Session) body(x *transport.Exchange, body []byte) {
	s.poll.heard = s.now()
	if s.paused && s.state == open {
		s.poll.held = &heldPost{x, body}
		return
	}
	s.handle(x, body)
}

func (s *Session) handleHeld() {
	if s.poll == nil || s.poll.held == nil || s.paused {
		return
	}
	held := s.poll.held
	s.poll.held = nil
	s.handle(held.exchange, held.body)
}

// handle delivers packets up to the first bad one, and answers the POST after
// that.
func (s *Session) handle(x *transport.Exchange, body []byte) {
	if s.state != open {
		s.poll.EndPost(x, s.shard.refuse(eio.SessionUnknown))
		return
	}
	err := eio.DecodePayload(body, s.packet)
	if s.state == open && err != nil {
		s.Fault(base.CauseParseError, err)
	}
	s.poll.EndPost(x, s.handled())
	s.dropPolling()
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
