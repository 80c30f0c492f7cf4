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
	post   *openPost // whose packets are not all handled
}

// openPost is a POST whose packets wait for Resume, or for another turn.
type openPost struct {
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
		s.poll.EndGetWith(s.transition.words, s.transition.ending.last)
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
		s.arm()
	}
	s.host.Writable()
}

// responded takes the report of a GET's end: see transport.Polling.Done.
func (s *Session) responded(x *transport.Exchange, err error) {
	if s.poll == nil || s.state == closed {
		return
	}
	if s.poll.Done(x, err) && s.state == open {
		s.broken(err)
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
func (s *Session) body(x *transport.Exchange, packets eio.Payload) {
	s.poll.heard = s.now()
	s.poll.post = &openPost{exchange: x, payload: packets}
	s.handleWaiting()
}

// Turn implements turns.Taker: it goes on with a POST.
func (s *Session) Turn() bool {
	if s.poll != nil && s.poll.post != nil {
		s.poll.post.waits = false
	}
	s.goOn(true) // asks for the next
	return false
}

// handleWaiting begins with a POST, or goes on after a pause.
func (s *Session) handleWaiting() { s.goOn(false) }

// goOn delivers packets up to the first bad one, as many as a turn allows, and answers the POST after the last. Without a
// turn it waits for one if there is no time for newcomers left.
func (s *Session) goOn(turn bool) {
	if s.poll == nil || s.poll.post == nil || s.paused && s.state == open || s.poll.post.waits {
		return
	}
	held := s.poll.post
	if s.state != open {
		s.poll.post = nil
		s.poll.EndPost(held.exchange, s.shard.refuse(eio.SessionUnknown))
		return
	}
	s.poll.post = nil // what ends the session answers those that wait; this one gets its own answer
	done, err := false, error(nil)
	if turn || !s.shard.sockets.Turns.Over() {
		done, err = s.some(&held.payload)
	}
	switch {
	case !done && s.state == open:
		s.poll.post = held
		if !s.paused {
			held.waits = true
			s.shard.sockets.Turns.Add(s)
		}
		return
	case s.state == open && err != nil:
		_ = s.misuse(base.CauseParseError, err)
	}
	s.poll.EndPost(held.exchange, s.handled())
	s.dropPolling()
}

// some handles packets until the turn or the payload ends.
func (s *Session) some(d *eio.Payload) (done bool, err error) {
	t := s.shard.sockets.Turns
	for began := t.Spent(); d.More(); {
		if s.paused || t.Enough(began) {
			return false, nil
		}
		if err := s.next(d); err != nil {
			return true, err
		}
	}
	return true, nil
}

// next handles one packet.
func (s *Session) next(d *eio.Payload) error {
	before := d.Left()
	p, err := d.Next()
	s.shard.sockets.Turns.Spend(turns.Message + (1+turns.Parsed)*(before-d.Left()))
	if err != nil {
		return err
	}
	return s.packet(p)
}

// broken ends a session whose client has given up a request.
func (s *Session) broken(err error) {
	s.dealWithPost()
	if s.state == open {
		s.abort(base.CauseTransportError, err)
	}
}

// dealWithPost hands over what has come of a client that is gone, though it waits for a turn or reading is paused: who
// sends and then leaves has sent it. It is as much as of a websocket.
func (s *Session) dealWithPost() {
	held, t := s.poll.post, s.shard.sockets.Turns
	if held == nil {
		return
	}
	s.poll.post = nil
	var err error
	for began := t.Spent(); err == nil && s.state == open && held.payload.More() && t.Spent()-began < transport.LastWork; {
		err = s.next(&held.payload)
	}
	if err == nil && held.payload.More() {
		s.poll.EndPost(held.exchange, s.shard.refuse(eio.SessionUnknown))
		return
	}
	s.poll.EndPost(held.exchange, s.handled())
}

// loseBody ends a POST whose packets never came, or whose client has left.
func (s *Session) loseBody(x *transport.Exchange, err error) {
	if s == nil || s.poll == nil || !s.poll.EndPost(x, transport.Refuse(http.StatusBadRequest)) {
		return // it had ended, or never begun
	}
	if s.state == open {
		s.broken(err)
	}
}

// dropPolling forgets the transport the session was upgraded from, once its
// last request is over.
func (s *Session) dropPolling() {
	if s.ws != nil && s.poll != nil && !s.poll.Busy() {
		s.poll = nil
	}
}
