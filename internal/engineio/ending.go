package engineio

import (
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
)

// The ends of a session that the peer brings about.

// DefaultStraggle is Options.Straggle.
const DefaultStraggle = 5 * time.Millisecond

// lastWords is how many bytes of frames are kept for the last GET.
const lastWords = 48 << 10

// Fault closes the session for what the peer did: what the host has queued before, it may write first
// (Host.Faulted). Idempotent; the first cause counts.
func (s *Session) Fault(cause base.Cause, err error) { _ = s.fault(cause, err) }

// fault returns err, or errClosed if the session was closed already.
func (s *Session) fault(cause base.Cause, err error) error {
	if s.state != open {
		return errClosed
	}
	s.endProbe()
	s.transition = &transition{parting: true}
	s.host.Faulted(cause)
	switch {
	case s.state != open: // the host has closed it
	case s.ws != nil:
		s.begin(cause, err)
		s.ws.Dismiss()
		s.host.Deadline(0)
	case s.poll.Waiting():
		s.end(cause, err, eio.Close)
	default:
		s.begin(cause, err)
		s.awaitGet(s.shard.server.opts.CloseTimeout)
	}
	return err
}

// misuse is fault for what breaks Engine.IO itself: over polling the session is gone at once, as with npm, unless there is
// something for the last GET besides that.
func (s *Session) misuse(cause base.Cause, err error) error {
	_ = s.fault(cause, err)
	if s.state == closing && s.ws == nil && s.transition.words == nil && !s.poll.Writing() {
		s.finish()
	}
	return err
}

// parts reports whether the host may write its last words.
func (s *Session) parts() bool { return s.transition != nil && s.transition.parting }

// roomForWords is Window while a GET need not wait.
func (s *Session) roomForWords() int {
	switch {
	case s.poll.Window() > 0:
		return s.poll.Window()
	case s.transition.words != nil || s.poll.Waiting():
		return 0
	}
	return lastWords
}

// left takes the peer's close packet (protocol.md 1.8). Over polling the GET that waits is told; without one the request
// with the packet says when the session may go (parted), so that a GET sent together with it still finds it.
func (s *Session) left() {
	if s.ws != nil || s.poll.Waiting() {
		s.end(base.CauseTransportClose, nil, eio.Noop)
		return
	}
	s.begin(base.CauseTransportClose, nil)
	s.transition.ending.last = eio.Noop
	s.awaitGet(s.shard.server.opts.CloseTimeout)
}

// leaves reports whether the client has closed the session and nothing keeps it but Options.Straggle.
func (s *Session) leaves() bool {
	return s.state == closing && s.ws == nil && s.transition.ending.last == eio.Noop
}

// handled is the answer to a POST whose packets were handled.
func (s *Session) handled() transport.Answer {
	a := transport.OK
	a.Parting = s.leaves()
	return a
}

// parted forgets a session whose client has closed it.
func (sh *shard) parted(id sid) {
	if s := sh.sessions.get(id); s != nil && s.leaves() {
		s.finish()
	}
}
