package engineio

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
)

// The names of the transports, as in the query and in Options.Transports.
const (
	Polling   = "polling"
	WebSocket = "websocket"
)

// Defaults of protocol.md 1.12, and of the time-outs Engine.IO does not name.
const (
	DefaultPath              = "/socket.io/"
	DefaultPingInterval      = 25 * time.Second
	DefaultPingTimeout       = 20 * time.Second
	DefaultUpgradeTimeout    = 10 * time.Second
	DefaultMaxHTTPBufferSize = 1_000_000
	DefaultBodyTimeout       = 30 * time.Second
	DefaultCloseTimeout      = 30 * time.Second
	DefaultNotSentLowat      = 4096
)

// Options configure a Server. The names are Engine.IO's; a zero value is the
// default given with each field.
type Options struct {
	// Path is the prefix of the URL path, "/socket.io/"; a slash is added at its end.
	Path string
	// PingInterval and PingTimeout time the heartbeat: 25 s and 20 s. Whole milliseconds are sent to clients.
	PingInterval, PingTimeout time.Duration
	// MaxSilence ends a session from which no byte has come for so long, whatever its kernel takes: a process that hangs
	// takes bytes too. At least PingInterval + PingTimeout; four times that by default.
	MaxSilence time.Duration
	// UpgradeTimeout closes a websocket that probes for longer: 10 s. The handshake of a websocket has it too.
	UpgradeTimeout time.Duration
	// MaxHTTPBufferSize is the longest message and POST body in bytes: 1,000,000.
	MaxHTTPBufferSize int
	// Transports enabled: polling and websocket.
	Transports []string
	// NoUpgrades keeps sessions on the transport they began with.
	NoUpgrades bool
	// NoHTTPCompression sends polling responses and client files as they are.
	NoHTTPCompression bool
	// PerMessageDeflate compresses websocket messages of 1024 bytes and more for clients that offer it (RFC 7692), without
	// context takeover, and takes compressed ones from them.
	PerMessageDeflate bool
	// Cookie on the handshake response of polling, for sticky load balancers: nil, none.
	Cookie *Cookie
	// CheckOrigin judges the Origin of every request; HTTP goroutines call it. nil: OriginPlain for all.
	CheckOrigin func(r *http.Request) Origin
	// Obsolete is told of every client that asks for an older version of Engine.IO, which is refused; HTTP goroutines and
	// loops call it. May be nil.
	Obsolete func(r *http.Request)
	// CORS is what requests with OriginAllowed are told.
	CORS CORS
	// ClientFiles is served below Path, the files of [ClientFiles] usually: nil, none.
	ClientFiles fs.FS
	// BodyTimeout is how long a POST body may take to arrive: 30 s.
	BodyTimeout time.Duration
	// CloseTimeout is how long a closing polling session waits for a GET to tell the client: 30 s.
	CloseTimeout time.Duration
	// Straggle is how long the POST of a client that has closed its session waits for a GET that the client sent before: the
	// two come on two connections, and nothing but luck says which is read first. 5 ms.
	Straggle time.Duration
	// NotSentLowat is TCP_NOTSENT_LOWAT in bytes (architecture.md D1): 4096; negative leaves the kernel's.
	NotSentLowat int
	// Node is the prefix of every session id: two characters of base64url, random by default. Nodes behind one
	// address need different ones.
	Node string
	// Loops own the sessions: between 1 and 4096.
	Loops []base.Loop
	// Pollers of the loops hold the websockets (epoll); nil: goroutines do.
	Pollers []*transport.Poller
	// Hold is told how many bytes more, or less, are kept of messages and POST bodies that are still incomplete or not
	// handled yet: nil, nobody asks. Called from any goroutine.
	Hold func(int)
	// Now is the loops' clock in monotonic nanoseconds. Required; called from any goroutine.
	Now func() int64
}

// Origin is the verdict on the origin of a request.
type Origin uint8

const (
	// OriginPlain needs no CORS headers: no Origin header, or the server's own.
	OriginPlain Origin = iota
	// OriginAllowed is another site's that may use the server: CORS headers are sent.
	OriginAllowed
	// OriginEveryone is OriginAllowed where any site may: "*" is sent, and never credentials.
	OriginEveryone
	// OriginRefused is answered with code 4, Forbidden.
	OriginRefused
)

// withDefaults returns the options complete, or every problem at once.
func (o Options) withDefaults() (Options, error) {
	o.Path = "/" + strings.Trim(orDefault(o.Path, DefaultPath), "/") + "/"
	if o.Path == "//" {
		o.Path = "/"
	}
	o.PingInterval = orDefault(o.PingInterval, DefaultPingInterval)
	o.PingTimeout = orDefault(o.PingTimeout, DefaultPingTimeout)
	o.MaxSilence = orDefault(o.MaxSilence, 4*(o.PingInterval+o.PingTimeout))
	o.UpgradeTimeout = orDefault(o.UpgradeTimeout, DefaultUpgradeTimeout)
	o.MaxHTTPBufferSize = orDefault(o.MaxHTTPBufferSize, DefaultMaxHTTPBufferSize)
	o.BodyTimeout = orDefault(o.BodyTimeout, DefaultBodyTimeout)
	o.CloseTimeout = orDefault(o.CloseTimeout, DefaultCloseTimeout)
	o.Straggle = orDefault(o.Straggle, DefaultStraggle)
	o.NotSentLowat = orDefault(o.NotSentLowat, DefaultNotSentLowat)
	if len(o.Transports) == 0 {
		o.Transports = []string{Polling, WebSocket}
	}
	if o.CheckOrigin == nil {
		o.CheckOrigin = func(*http.Request) Origin { return OriginPlain }
	}
	if o.Node == "" {
		o.Node = randomText(nodeLen)
	}
	return o, o.check()
}

func (o Options) check() error {
	var problems []error
	bad := func(format string, args ...any) { problems = append(problems, fmt.Errorf(format, args...)) }
	for name, d := range map[string]time.Duration{
		"pingInterval": o.PingInterval, "pingTimeout": o.PingTimeout, "upgradeTimeout": o.UpgradeTimeout,
		"bodyTimeout": o.BodyTimeout, "closeTimeout": o.CloseTimeout,
	} {
		if d < time.Millisecond {
			bad("%s %v: want at least 1ms", name, d)
		}
	}
	if least := o.PingInterval + o.PingTimeout; o.MaxSilence < least {
		bad("maxSilence %v: want at least pingInterval + pingTimeout, %v", o.MaxSilence, least)
	}
	if o.MaxHTTPBufferSize < 1 {
		bad("maxHttpBufferSize %d: want at least 1", o.MaxHTTPBufferSize)
	}
	for _, t := range o.Transports {
		if t != Polling && t != WebSocket {
			bad("transports %q: want polling or websocket", t)
		}
	}
	if len(o.Node) != nodeLen || !isText(o.Node) {
		bad("node %q: want %d characters of base64url", o.Node, nodeLen)
	}
	if len(o.Loops) < 1 || len(o.Loops) > maxLoops {
		bad("loops: %d, want 1 to %d", len(o.Loops), maxLoops)
	}
	if o.Pollers != nil && len(o.Pollers) != len(o.Loops) {
		bad("pollers: %d for %d loops", len(o.Pollers), len(o.Loops))
	}
	if o.Now == nil {
		bad("now: a clock is required")
	}
	problems = append(problems, o.Cookie.check())
	return errors.Join(problems...)
}

func (o Options) enabled(transport string) bool { return slices.Contains(o.Transports, transport) }

// upgrades are the transports a session of the given one may change to.
func (o Options) upgrades(from string) []string {
	if from == Polling && !o.NoUpgrades && o.enabled(WebSocket) {
		return []string{WebSocket}
	}
	return nil
}

func orDefault[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
