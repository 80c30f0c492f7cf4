package weir

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Limits bound a queue, or what is kept. Zero fields are defaults.
type Limits struct {
	Messages int // default 64 for topics, 1024 for the events lane; 16,777,216 at most
	Bytes    int // of the encoded packets; default 512 KiB for topics, 1 MiB for the events lane
}

// TopicOptions declare a topic, or every topic with a prefix.
type TopicOptions struct {
	Name     string   // ends in "*" for a prefix; the longest prefix wins, an exact name before any
	Mode     Mode     // zero: BestEffort
	Overflow Overflow // zero: DropOldest
	Max      Limits   // of each client's lane; zero: 64 messages, 512 KiB

	// Key is an RFC 6901 JSON pointer into the payload, "/symbol": the value there
	// is the coalescing key. A key given at publish wins. COALESCE only.
	Key string
	// TTL is how old a message may be when it is written; 0 = any age.
	TTL time.Duration
	// Weight is how many entries the topic's lane may write in its turn, 1000 at most; default 1.
	Weight int
	// FlushDelay is how long a message may wait so that more of them share a send: at
	// most a second; 0 = an idle shard writes at once. It does not wait where it is the
	// first to fill half of its lane, where it would expire meanwhile, or when the
	// client is sent away; and whatever else is written to the client takes it along.
	FlushDelay time.Duration

	// Snapshot gives every subscription that does not ask otherwise the newest message
	// first, under Coalesce the newest of each key, marked in its metadata. Without it a
	// subscription may ask; a topic keeps messages from when it is first asked.
	Snapshot bool
	// SnapshotMax bounds what is kept of each topic: default 1000 messages (only
	// Coalesce keeps more than one), 100,000 at most, and 1 MiB. The oldest give way.
	// Off messages keeps nothing. All topics together keep at most an eighth of the
	// memory budget. What is kept of a prefix's topic is forgotten with it, when
	// nobody has used it for a minute.
	SnapshotMax Limits

	// History is how many of its newest messages a topic keeps: for subscriptions that ask for the last of them, for weir:history
	// and for GET /api/history; 100,000 at most, 0 none. They are kept in memory, and gone with the process, or with a prefix's
	// topic when nobody has used it for a minute. A topic that has a journal is read from there.
	History int
	// HistoryBytes bounds what memory keeps of it: default 1 MiB. The oldest give way. All topics together keep at most
	// an eighth of the memory budget.
	HistoryBytes int

	// The window of reliable topics.
	MaxInFlight  int           // default 32; at most Max.Messages, and 10,000
	AckTimeout   time.Duration // default 5 s, from when the client's kernel had the message
	MaxRetries   int           // sends after the first; default 5; Off: none; 65,534 at most
	RetryBackoff float64       // factor on AckTimeout for each further send; default 2; 1 = none; 100 at most

	// Retention keeps what is published on disk, in Options.Journal; SpillToDisk always does.
	Retention Retention

	// WebsocketOnly refuses subscriptions over long-polling.
	WebsocketOnly bool
	// AuthRequired makes subscribe and publish ask Authenticate.
	AuthRequired bool
}

// Off switches off what an option bounds or does, where the option says so. The zero value is
// always the default; any other negative value is a problem.
const Off = -1

// NamespaceOptions declare a namespace.
type NamespaceOptions struct {
	Path          string // "/" or "/name"
	Dialect       Shape  // of deliveries, unless a subscription asks otherwise
	Topics        []TopicOptions
	AutoSubscribe []string // topics every socket is subscribed to when it connects
	// ClientPublish lets clients publish to the namespace's topics. The default is
	// deny.
	ClientPublish bool
	// ClientPublishGranted lets clients publish to topics that their token names (Grants.Publish), also where
	// ClientPublish is false, and to no others.
	ClientPublishGranted bool
	// ClientHistory lets clients read what is kept of the namespace's topics (weir:history), as far as it was for everybody or for
	// them. The default is deny. That a subscription may begin with the newest messages is up to TopicOptions.History alone.
	ClientHistory bool
	// ClientRooms are the rooms that clients may join and leave by themselves (weir:join, weir:leave): names, or
	// prefixes that end in "*", with a character before it that no socket's id has, such as ":". The default is none. A
	// client is in RoomsPerSocket rooms at most, those included that the application has put it into.
	ClientRooms []string
	// EventsLane bounds what waits for a client besides topics: plain events, acks
	// and namespace packets; by default 1024 messages and 1 MiB. EventsOverflow says what becomes
	// of what does not fit: EventsDisconnect is the default.
	EventsLane     Limits
	EventsOverflow EventsOverflow
	// SlowPenalty is how long a client that was cut for being slow is refused; it
	// doubles with each cut up to a minute, which is the most. Default 5 s.
	SlowPenalty time.Duration
	// AuthRequired makes connecting ask Authenticate.
	AuthRequired bool
	// InboundAck says when a client's publish is answered.
	InboundAck InboundAck
	// Schemas are what events and publications of clients have to be like; at most 1,000.
	Schemas []SchemaOptions
}

// InboundAck says when a client's publish is answered.
type InboundAck uint8

// When a client's publish is answered.
const (
	AckOnReceipt           InboundAck = iota // when it was accepted: it has its place in the topic's order, and waits for no lane, on reliable topics neither
	AckAfterHandlerSuccess                   // when it was given to all subscribers' lanes on this node
)

// SocketIOOptions are Socket.IO's own, by its names. The zero value is Socket.IO's
// default for each.
type SocketIOOptions struct {
	Path              string        // /socket.io/
	PingInterval      time.Duration // 25 s
	PingTimeout       time.Duration // 20 s
	UpgradeTimeout    time.Duration // 10 s
	ConnectTimeout    time.Duration // 45 s: a session that joins no namespace is closed
	MaxHTTPBufferSize int           // 1,000,000 bytes: longest message and POST body
	Transports        []string      // polling, websocket
	NoUpgrades        bool
	NoClientFiles     bool // do not serve socket.io.js
	NoHTTPCompression bool
	// PerMessageDeflate compresses messages of 1024 bytes and more for websockets
	// that offer it (RFC 7692, without context takeover), once for all of them. A
	// publisher pays for it, and each message is held in both forms.
	PerMessageDeflate bool
	Cookie            *http.Cookie // its value is the session id; nil: none
}

// ServerLimits bound what one server takes on.
type ServerLimits struct {
	HeaderTimeout time.Duration // for a request's header to arrive; default 5 s
	// KeepAlive is how long a connection between two HTTP requests is kept. It must be longer than
	// what a proxy in front keeps its own for (nginx, AWS ALB: 60 s), or a request is lost now and
	// then and answered 502. Default 75 s; 1 ms and more.
	KeepAlive time.Duration
	// MaxSilence ends a connection from which no byte has come for so long, whatever the client's
	// kernel takes: a process that hangs takes bytes too. At least PingInterval + PingTimeout;
	// default four times that. A slow reader, which answers pings late, needs room within it.
	MaxSilence             time.Duration
	SubscriptionsPerSocket int // default 1000
	RoomsPerSocket         int // default 1000
	// TopicsPerNamespace is how many concrete topics made from patterns a namespace has
	// at a time, those somebody subscribes to and those used in the last minute; default
	// 200,000. Those idle longest give way; when none is, ErrLimited.
	TopicsPerNamespace int
	// Connections at once, at most; beyond it handshakes are answered 503 with a
	// Retry-After. So are handshakes beyond HandshakesPerSecond, and those that come
	// while Pending connections have joined no namespace yet. 0: no limit,
	// but for Connections what the process has descriptors for, less those it needs
	// itself: 64, and three for each event loop.
	Connections, Pending, HandshakesPerSecond int
	// PerAddress is how many connections an address may have at once, HandshakesPerSecondPerAddress how many new ones it may
	// have in a second, twice as many at most within any one; beyond them its handshakes are answered 429 with a Retry-After,
	// and take nothing from HandshakesPerSecond. An address is that of the client (TrustedProxies), of IPv6 its /64; who has no IP
	// address is not counted. PerPrincipal is how many connections a principal may have at once, whatever their addresses:
	// beyond it CONNECT is answered with ErrLimited. 0: no limit. Each server counts by itself, and each node.
	PerAddress, PerPrincipal, HandshakesPerSecondPerAddress int
	// TrustedProxies are networks, "10.0.0.0/8", or single addresses, whose word about the client behind them is believed: what
	// their requests say in ForwardedHeader, and their PROXY headers with ServerOptions.ProxyProtocol. A client's address is then
	// the nearest that is not trusted of those its request is said to have come by: for all limits, Handshake.Address, events,
	// logs and the management API. Of strangers nothing is believed. At most 256; not 0.0.0.0/0. A mounted server trusts by
	// http.Request.RemoteAddr.
	TrustedProxies []string
	// ForwardedHeader is the one field of a request that is believed; default X-Forwarded-For, and none with ProxyProtocol. It must
	// be one that each of the proxies writes: what a client puts into others is passed on by them.
	ForwardedHeader ForwardedHeader
	// Inbound bounds what clients may send, once they have joined a namespace; an event is held against each that is about
	// it. The default is none; at most 32.
	Inbound []InboundLimit
}

// ServerOptions describe one door for clients. Namespaces belong to one server.
type ServerOptions struct {
	Name string // in logs and figures; default "default"
	// Addr to listen on, "0.0.0.0:3000". Empty: no port is opened, the application
	// mounts the server.
	Addr     string
	SocketIO SocketIOOptions
	// Origins are the browser origins welcome besides the server's own:
	// "https://example.com", "https://*.example.com", or "*". Requests without an
	// Origin header are not from a page and are allowed.
	Origins []string
	// Credentials tells browsers that cookies may be sent from those origins.
	Credentials bool
	// TLS has the port speak TLS; nil: it speaks HTTP in the clear. It needs an Addr, and another driver than
	// DriverEpoll.
	TLS *TLSOptions
	// Driver is how connections are held; the zero value chooses.
	Driver Driver
	// ProxyProtocol has connections of Limits.TrustedProxies begin with a header of the PROXY protocol, version 1 or 2, before TLS
	// and HTTP; one that does not is answered 400 and closed. Others are served as without it. It needs an Addr.
	ProxyProtocol bool
	// Auth asks Authenticate, or the hook, wherever a namespace or topic requires it, and
	// for every token offered.
	Auth bool
	// NotSentLowat is TCP_NOTSENT_LOWAT in bytes: how little the kernel takes from
	// a lane before it is written. Default 4096; Off leaves the kernel's.
	NotSentLowat int
	Limits       ServerLimits
	Namespaces   []NamespaceOptions
	// Page, if set, answers requests outside of the Socket.IO path.
	Page http.Handler
}

// WorkerOptions shape the pool that runs handlers (architecture.md D8).
type WorkerOptions struct {
	Max int // handlers at the same time; default 256; 100,000 at most
	// Nice from 1 to 19 runs each worker on an OS thread of its own at that
	// niceness, so that CPU-bound handlers yield to the shards. Linux only. Of those as many compute at once as GOMAXPROCS is above
	// Shards when New is called, or as there are CPUs if it is not: each loop then finds one of Go's processors free.
	Nice int
	// Deadline is how long a handler of an event (On, OnServerSide), or of OnDisconnect, may take: then its context ends, with
	// context.DeadlineExceeded. One that returns that error is answered with ErrUnavailable. One that ignores its context goes
	// on, keeps its worker and its socket, and is shown by GET /api/handlers, weir_handlers_overdue and the log. Default: none;
	// 1 ms to 24 h.
	Deadline time.Duration
	// MailboxEvents and MailboxBytes bound the events of one socket that wait for
	// its handlers; beyond that the socket is not read. Defaults 128 and 1 MiB.
	MailboxEvents, MailboxBytes int
}

// OutsideOptions shape the pool that asks the application about clients: Authenticate, and the checks of Namespace.Use.
// They may wait for a database or another service, and hang with it. It is apart from the workers, so that handlers go on
// meanwhile (docs/adr/0018-two-pools.md). WorkerOptions.Nice applies to it as well.
type OutsideOptions struct {
	Max int // calls at the same time; default 256; 100,000 at most
	// Queue is how many sockets may wait for one of those; default 10,000. Beyond it a client is refused with ErrBusy,
	// and may try again. A call, its wait included, has until SocketIO.ConnectTimeout after it was asked for.
	Queue int
}

// MemoryOptions bound what the process holds for all clients.
type MemoryOptions struct {
	// BudgetBytes for lanes, inboxes, partial messages and worker queues. Default: a
	// quarter of the memory of the cgroup or the machine; Off: no bound.
	BudgetBytes int64
	// HighWatermark is the share of the budget at which shedding begins, at most 1; default 0.8.
	HighWatermark float64
}

// ManagementOptions open the management API on a port of its own. Without an Addr
// it can still be mounted: Server.Management.
type ManagementOptions struct {
	Addr   string      // off loopback at least one key is required
	TLS    *TLSOptions // has the port speak TLS, but not that of Probes; nil: HTTP in the clear
	Keys   []ManagementKey
	PProf  bool   // serve /debug/pprof/ without an admin key
	Probes string // address of a second, keyless listener with /healthz, /readyz and /metrics only
	// ReceiptTimeout bounds how long a publish waits for its receipt; default 1 s.
	ReceiptTimeout time.Duration
	// StreamFenceMetrics adds StreamFence's metric names to /metrics.
	StreamFenceMetrics bool
}

// ManagementKey lets its bearer use the management API.
type ManagementKey struct {
	Name  string   // who has it, for logs; each once
	Key   string   // presented as Authorization: Bearer
	Allow []string // publish, read, admin
	// Namespaces are those the key is for: calls that name another one, and those that concern the whole server, are refused with
	// ErrForbidden, and lists show nothing else. nil: all.
	Namespaces []string
}

// DrainOptions shape a gentle leave.
type DrainOptions struct {
	ClientsPerSecond int           // how fast clients are sent away; default 200
	Timeout          time.Duration // after which the rest are closed at once; default 60 s
}

// Options configure a Server. New reports every problem at once. Where a field says
// nothing else, numbers are at most 2,147,483,647 and times at most as many
// milliseconds (24 days); a negative one is a problem.
type Options struct {
	// Addr and Namespaces are those of the door named "default". With no special wishes they
	// are enough; it asks Authenticate then, or the hook, if one is set (ServerOptions.Auth).
	Addr       string
	Namespaces []NamespaceOptions
	// Servers are the doors with wishes of their own. The one named "default", or not at all, has
	// Addr and Namespaces beside what it says itself; without such a one they are a door
	// more, the first.
	Servers []ServerOptions

	// Name tells servers apart that share a Registerer: the label "node" of their metrics.
	// Default "", and "2", "3" and so on for others without a name.
	Name string

	Shards     int // event loops; default GOMAXPROCS; 4096 at most
	Workers    WorkerOptions
	Outside    OutsideOptions
	Memory     MemoryOptions
	Management ManagementOptions
	Drain      DrainOptions
	Journal    JournalOptions
	Cluster    ClusterOptions

	// Authenticate decides about tokens. StaticTokens is a ready one.
	Authenticate AuthFunc
	// Hooks are asked in its place, or where it does not know a token.
	Hooks HookOptions
	// AuthFailures bounds failed attempts per address: default 20 in a minute.
	AuthFailures AuthFailures
	// Revoked are tokens and principals that are not accepted, whatever Authenticate says; Server.Revoke adds to them.
	Revoked RevokedOptions

	Logger     *slog.Logger          // default slog.Default(). Its handler is called by a goroutine of its own: while it blocks, 4,096 lines (4 MiB) wait, others are dropped and counted. A level that Enabled turns on at run time shows within a second
	Registerer prometheus.Registerer // gets the metrics besides the management API, until Run or Close has returned; nil: nobody does
	Events     Events
}

// AuthFailures bounds failed attempts per client address, of IPv6 per /64: only ErrUnauthorized
// counts. Beyond them the address is refused with ErrLimited until Window is over, which begins
// with the first of them.
type AuthFailures struct {
	Max    int           // default 20
	Window time.Duration // default a minute
}

// Action is what a token is presented for.
type Action string

// What a token is presented for.
const (
	ActionConnect   Action = "connect"
	ActionSubscribe Action = "subscribe"
	ActionPublish   Action = "publish"
	ActionHistory   Action = "history"
)

// AuthRequest is a token and what it is presented for.
type AuthRequest struct {
	Token     string // "" if the client has none; looked for in the payload, handshake auth, Authorization: Bearer, query
	Action    Action
	Namespace string
	Topic     string // empty for ActionConnect
	Principal string // who the socket is already, after connecting
	Handshake *Handshake
}

// Identity is who a token stands for, and what it grants.
type Identity struct {
	Principal string // who it is: Socket.Principal; "" is nobody in particular, whom no operation can address
	// TokenID tells the token apart from others of the principal; "": nobody knows how.
	TokenID string
	// Expires is when the token ends: the client is told a minute before (weir:expiring), may send a fresh token (weir:token), and
	// is disconnected else, for the cause token_expired. Zero: never.
	Expires time.Time
	// Grants are the topics the client may use; nil: what the configuration allows. Of a token presented for a topic they
	// must have that topic.
	Grants *Grants
	Rooms  []string        // joined at connect
	Data   json.RawMessage // whatever else is known of the client, for handlers: Socket.Identity; nil: nothing

	hooked bool // the hook has said so
}

// plain reports whether there is nothing to keep but the principal.
func (id *Identity) plain() bool {
	return id.TokenID == "" && id.Expires.IsZero() && id.Grants == nil && len(id.Rooms) == 0 && id.Data == nil
}

// AuthFunc says who a token stands for, or refuses it. ErrUnauthorized is for a wrong
// token, and counts against the client's address (AuthFailures); ErrForbidden for a good
// one that lacks the right. The text of a *weir.Error is told to the client. Any other
// error says that nobody could find out: it is logged, the client is told ErrUnavailable
// and may try again. An AuthFunc runs on a goroutine of the pool OutsideOptions describes, may block until ctx ends and is
// called concurrently. ctx ends SocketIO.ConnectTimeout after the client asked, and for ActionConnect with the client.
type AuthFunc func(ctx context.Context, r AuthRequest) (Identity, error)

// Handshake is what is known of the request that opened a client's session. It must not be
// changed.
type Handshake struct {
	Header  http.Header
	Host    string         // the Host that the request named, with its port if it named one
	URL     *url.URL       // path and query; never nil, as Header
	Address netip.AddrPort // of the client: behind ServerLimits.TrustedProxies what they say, its port 0 where they do not
	TLS     bool           // the connection came over TLS to this server
	Time    time.Time      // when the request came
	Auth    []byte         // the client's auth object as raw JSON; nil if it sent none
}
