package engineio

import (
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
)

// Owned is how many bytes a message may have that lies in a buffer others use.
const Owned = transport.Owned

// Acceptor stands at the door: it decides who gets a session and takes it over.
type Acceptor interface {
	// Admit is asked before a session is made, after the request was found
	// correct except for its EIO version; nil is welcome. HTTP goroutines call
	// it concurrently.
	Admit(r *http.Request) *Refusal
	// Assign is the index in Options.Loops of the loop for a new session that
	// begins on a transport, Polling or WebSocket. HTTP goroutines and loops call
	// it concurrently.
	Assign(transport string) int
	// Open hands over a new session and returns its host, which must not be
	// nil. It is called on the session's loop, before the open packet is taken
	// by Control; Host.Writable follows. Open may close the session; Deadline is
	// not called before Open returns. h is valid during the call only.
	//
	//weir:loop
	Open(s *Session, h *Handshake) Host
}

// Host is what the delivery side does for one session. All methods are called
// on the session's loop. Message and Closed come in steps of their own, never
// from inside a Session method the host calls; Writable and Deadline may.
//
//weir:loop
type Host interface {
	// Message takes one Engine.IO message; data may be changed, and is valid during
	// the call only, unless it is longer than Owned: then it is the host's. An error
	// closes the session with base.CauseParseError. It is not called after Close, Abort or Closed.
	Message(data []byte, binary bool) error
	// Writable says that Window or Control may have something now: the host
	// arranges a flush. It may come without cause.
	Writable()
	// Deadline replaces the session's one deadline: Session.Expire is called at
	// or soon after at, in nanoseconds of Options.Now; 0 is none.
	Deadline(at int64)
	// Unread reports whether so much waits for the peer to take it that it is to blame if it is not read: see Session.Pause.
	Unread() bool
	// Faulted says that the peer broke the protocol: Window may be open one last time, and what is written now still
	// arrives; Message is not called again, and Closed follows.
	Faulted(cause base.Cause)
	// Closed is called exactly once, last, when the session has left its
	// transports and the registry. err is nil or says what the peer or the
	// network did.
	Closed(cause base.Cause, err error)
}

// Handshake is what is known of the request that asked for a session.
type Handshake struct {
	Header     http.Header
	Host       string
	URL        *url.URL
	RemoteAddr netip.AddrPort // zero if the listener's addresses are not IP
	TLS        bool
	Time       time.Time
	Transport  string // Polling or WebSocket
	Protocol   base.Protocol
}

// Refusal is the answer to a handshake that Admit does not welcome.
type Refusal struct {
	Status     int           // HTTP status; 0: 403, and 400 for a websocket
	Code       int           // the code in the body (protocol.md 1.1); 0: 4, Forbidden
	Message    string        // the message in the body; "": that of Code
	RetryAfter time.Duration // sent as Retry-After in whole seconds, rounded up; 0: not sent

	counted bool // under a reason of the acceptor's; or the server is closing
}
