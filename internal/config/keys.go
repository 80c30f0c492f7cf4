package config

import (
	"log/slog"
	"time"

	"github.com/streamweir/weir"
)

// document is the file. Its tags are the one table of keys:
//
//	key         name in the file; a field without one only receives a short form
//	default     value when absent, as in the file; lists separated by commas
//	sf          StreamFence's default where it differs: without "weir: 1"
//	min, max    limits, inclusive; sfmin is the minimum without "weir: 1"
//	enum        the words allowed, separated by commas
//	required    must be present
//	secret      is shown as ***
//	live        a server that runs can change it, and whatever is below it: see Running
//	only        "streamfence": refused with "weir: 1", with this advice
//	later       the feature a value other than the default needs, which this version does not have
//	laterValue  the one value to which later applies
//	idleBut     "key=value": in StreamFence files the key has no effect unless its neighbour has that value
//	short       a scalar in place of the mapping sets this field
//	example     value in the starter file
//	doc         one sentence
//
// Durations are whole milliseconds, sizes bytes.
type document struct {
	Weir       int                `key:"weir" default:"0" min:"0" max:"1" example:"1" doc:"1 selects Weir's defaults; without it the file is one of StreamFence JS and has StreamFence's defaults"`
	Log        logKeys            `key:"log" doc:"what is logged on stderr, and how"`
	Compat     string             `key:"compat" default:"none" enum:"none,streamfence" doc:"streamfence adds StreamFence's metric names to /metrics"`
	Shards     int                `key:"shards" default:"0" min:"0" max:"4096" doc:"event loops; 0: one per CPU"`
	Workers    workerKeys         `key:"workers" doc:"the pool that runs handlers"`
	Outside    outsideKeys        `key:"outside" doc:"the pool that asks whether a client may: tokens, and the application's checks"`
	Memory     memoryKeys         `key:"memory" doc:"what the process holds for all clients"`
	Management managementKeys     `key:"management" doc:"the management API"`
	Journal    journalKeys        `key:"journal" doc:"the log on disk behind SPILL_TO_DISK and retention; opened only for topics that need it"`
	Cluster    clusterKeys        `key:"cluster" doc:"how nodes find each other's messages"`
	Drain      drainKeys          `key:"drain" doc:"how the server leaves"`
	Access     accessKeys         `key:"access" doc:"who may come in, for servers with auth: TOKEN"`
	Hooks      hookKeys           `key:"hooks" doc:"a backend of the application that is asked about clients"`
	Servers    map[string]*server `key:"servers" required:"true" example:"feed" doc:"the doors for clients, by name"`
}

type logKeys struct {
	Level  slog.Level `key:"level" live:"true" default:"info" enum:"debug,info,warn,error" doc:"the least level that is logged"`
	Format string     `key:"format" default:"auto" enum:"auto,text,json" doc:"auto: text on a terminal, JSON elsewhere"`
}

type workerKeys struct {
	Max           int `key:"max" default:"256" min:"1" max:"100000" doc:"handlers that run at the same time"`
	Nice          int `key:"nice" default:"10" min:"0" max:"19" doc:"runs each worker on an OS thread of this niceness, so that CPU-bound handlers yield to delivery; 0: off; Linux only"`
	MailboxEvents int `key:"mailboxEvents" default:"128" min:"1" doc:"events of one socket that wait for its handlers before the socket is no longer read"`
	MailboxBytes  int `key:"mailboxBytes" default:"1048576" min:"1" doc:"the same in bytes"`
}

type outsideKeys struct {
	Max   int `key:"max" default:"256" min:"1" max:"100000" doc:"such calls at the same time"`
	Queue int `key:"queue" default:"10000" min:"1" doc:"sockets that wait for one of those; beyond it a client is refused with the code busy"`
}

type memoryKeys struct {
	BudgetBytes   int64   `key:"budgetBytes" default:"0" min:"-1" doc:"for everything held for clients; 0: a quarter of the cgroup's or machine's memory; -1: no bound"`
	HighWatermark float64 `key:"highWatermark" default:"0.8" min:"0.01" max:"1" doc:"share of the budget at which shedding begins"`
}

type managementKeys struct {
	Host           string        `key:"host" default:"127.0.0.1" doc:"off loopback at least one key is required"`
	Port           int           `key:"port" default:"9393" min:"0" max:"65535" doc:"0: the kernel chooses one; unset and taken by a server of this file: the next free one"`
	TLS            tlsKeys       `key:"tls" doc:"has it speak TLS, with certChainPemPath and privateKeyPemPath; the probes do not"`
	Keys           []accessKey   `key:"keys" live:"true" doc:"who may call it: several keys may be valid at once"`
	Pprof          bool          `key:"pprof" default:"false" doc:"serves /debug/pprof/ without an admin key"`
	Probes         probeKeys     `key:"probes" doc:"a second, keyless listener with /healthz, /readyz and /metrics only"`
	ReceiptTimeout time.Duration `key:"receiptTimeoutMs" default:"1000" min:"1" doc:"how long a publish waits for its receipt"`
}

type accessKey struct {
	Name  string   `key:"name" required:"true" doc:"names the caller in the log"`
	Key   string   `key:"key" required:"true" secret:"true" doc:"presented as Authorization: Bearer or X-API-Key"`
	Allow []string `key:"allow" required:"true" enum:"publish,read,admin" doc:"what it may do"`

	Namespaces []string `key:"namespaces" closes:"true" doc:"those it is for: what concerns others, or the whole server, is refused; left out: all"`
}

type probeKeys struct {
	Host string `key:"host" default:"" doc:"empty with a port: all addresses"`
	Port int    `key:"port" default:"0" min:"0" max:"65535" doc:"0: no such listener"`
}

type journalKeys struct {
	Path     string        `key:"path" default:"" doc:"its directory, for this process alone; topics that need the journal are refused without it"`
	Fsync    string        `key:"fsync" default:"interval" enum:"interval,always,never" doc:"when what was published outlives the machine: always before anybody is told, interval within intervalMs, never when the system writes it; a process that is killed loses nothing under any of them"`
	Interval time.Duration `key:"intervalMs" default:"50" min:"1" doc:"between two syncs"`
	MaxBytes int64         `key:"maxBytes" default:"10737418240" min:"1048576" doc:"of all its files"`
	WhenFull string        `key:"whenFull" default:"refuse" enum:"refuse,drop-oldest" doc:"what gives way then: what is published, or the oldest records of any topic"`
}

type drainKeys struct {
	ClientsPerSecond int           `key:"clientsPerSecond" default:"200" min:"1" doc:"how fast clients are sent away"`
	Timeout          time.Duration `key:"timeoutMs" default:"60000" min:"1" doc:"after which the rest are closed at once"`
}

type accessKeys struct {
	StaticTokens map[string]*staticToken `key:"staticTokens" live:"true" doc:"principal: token, or a mapping with what it grants"`
	JWT          jwtKeys                 `key:"jwt" live:"true" doc:"JSON Web Tokens, signed by somebody else"`
	Revoked      revokedKeys             `key:"revoked" live:"true" doc:"tokens and principals that are not accepted"`
	Failures     failureKeys             `key:"failures" doc:"failed attempts of one address before it is refused"`
}

type revokedKeys struct {
	Tokens     []string `key:"tokens" doc:"by their ids, the claim jti"`
	Principals []string `key:"principals" doc:"whatever they show"`
}

type staticToken struct {
	Token string `key:"token" required:"true" secret:"true" short:"true" doc:"what the client presents"`
	grantKeys
}

// grantKeys are what a token grants; none of them: what the configuration allows.
type grantKeys struct {
	Sub     []string `key:"sub" closes:"true" doc:"topics it may subscribe to, names or prefixes that end in *; with any of sub, pub and history it may nothing else"`
	Pub     []string `key:"pub" closes:"true" doc:"topics it may publish to"`
	History []string `key:"history" closes:"true" doc:"topics whose history it may read, also by a subscribe with last"`
	Rooms   []string `key:"rooms" doc:"joined at connect"`
}

type jwtKeys struct {
	Algorithms     []string      `key:"algorithms" default:"RS256" enum:"HS256,RS256,ES256,EdDSA" doc:"the signatures accepted"`
	Keys           []jwtKey      `key:"keys" doc:"the keys themselves"`
	JwksFile       string        `key:"jwksFile" default:"" doc:"a JSON Web Key Set on disk, read again when it changes"`
	JwksURL        string        `key:"jwksUrl" default:"" doc:"a JSON Web Key Set elsewhere, fetched every 5 minutes and when a token names a key that is not in it"`
	Issuer         string        `key:"issuer" default:"" doc:"the issuer a token must name; empty: any"`
	Audience       string        `key:"audience" default:"" doc:"the audience a token must name; empty: any"`
	PrincipalClaim string        `key:"principalClaim" default:"sub" doc:"the claim that is the principal"`
	Leeway         time.Duration `key:"leewayMs" default:"5000" min:"0" doc:"how far clocks may differ"`
}

type jwtKey struct {
	Kid    string `key:"kid" default:"" doc:"of the tokens it is for; empty: any"`
	Alg    string `key:"alg" default:"" doc:"HS256, RS256, ES256 or EdDSA: what the key has to be for; empty: what it is for"`
	Secret string `key:"secret" default:"" secret:"true" doc:"of HS256, 32 bytes or more, as base64"`
	Pem    string `key:"pem" default:"" doc:"a public key or a certificate"`
	File   string `key:"file" default:"" doc:"the same in a file, read again when it changes"`
}

type failureKeys struct {
	Max    int           `key:"max" default:"20" min:"1" doc:"failed attempts"`
	Window time.Duration `key:"windowMs" default:"60000" min:"1" doc:"in this time"`
}

type hookKeys struct {
	Connect        string        `key:"connect" default:"" doc:"the URL that is asked who a client is, and whether it may come in, where access does not know its token; empty: nobody is"`
	Secrets        []string      `key:"secrets" secret:"true" live:"true" doc:"sign each request, all of them: 32 bytes or more as base64, with or without whsec_ before it; at least one with connect"`
	Timeout        time.Duration `key:"timeoutMs" default:"5000" min:"1" doc:"for a call, from its connection to the last byte of its answer"`
	MaxCalls       int           `key:"maxCalls" default:"64" min:"1" max:"10000" doc:"calls under way"`
	MaxWaiting     int           `key:"maxWaiting" default:"1000" min:"1" max:"1000000" doc:"clients that wait for one of those to end; beyond it a client is refused with the code busy"`
	MaxAnswerBytes int           `key:"maxAnswerBytes" default:"65536" min:"1024" max:"1048576" doc:"of an answer"`
	BreakerCalls   int           `key:"breakerCalls" default:"5" min:"1" doc:"calls in a row that find nobody, until none is made for a while"`
	BreakerPause   time.Duration `key:"breakerPauseMs" default:"5000" min:"1" doc:"that while; then one call tries"`
	Cache          time.Duration `key:"cacheMs" default:"0" min:"0" doc:"how long an answer that lets a client in is good for others with the same token; 0: for nobody"`
	CacheEntries   int           `key:"cacheEntries" default:"10000" min:"1" max:"1000000" doc:"answers that are remembered"`
	CacheBytes     int           `key:"cacheBytes" default:"16777216" min:"1" doc:"of them together"`
	Headers        []string      `key:"headers" default:"accept-language,authorization,cookie,origin,user-agent" doc:"fields of a client's request that the backend is told"`
	CAFile         string        `key:"caFile" default:"" doc:"certificates whose word about the backend is believed, PEM; empty: those of the system"`
	Event          string        `key:"event" default:"" later:"the hook for events" doc:"told of events"`
	Disconnect     string        `key:"disconnect" default:"" later:"the hook for those who leave" doc:"told when a client leaves"`
}

type server struct {
	Host              string       `key:"host" default:"0.0.0.0" doc:"address to listen on"`
	Port              int          `key:"port" default:"3000" min:"0" max:"65535" example:"3000" doc:"port to listen on; 0: the kernel chooses one"`
	Transport         string       `key:"transport" default:"WS" enum:"WS,WSS" doc:"WS: in the clear, WSS: over TLS, polling too"`
	TLS               tlsKeys      `key:"tls" idleBut:"transport=WSS" doc:"certificate and key"`
	Driver            string       `key:"driver" default:"auto" enum:"auto,epoll,goroutine" doc:"how connections are held: epoll needs Linux and transport: WS"`
	EngineIoTransport string       `key:"engineIoTransport" default:"WEBSOCKET_OR_POLLING" enum:"WEBSOCKET_ONLY,WEBSOCKET_OR_POLLING" doc:"StreamFence's form of socketio.transports"`
	ProxyProtocol     bool         `key:"proxyProtocol" default:"false" doc:"connections of limits.trustedProxies begin with a header of the PROXY protocol, version 1 or 2"`
	Auth              string       `key:"auth" default:"NONE" enum:"NONE,TOKEN" doc:"TOKEN asks the tokens under access wherever authRequired is set, and checks every token offered"`
	Origins           []string     `key:"origins" doc:"browser origins welcome besides the server's own; every origin is * and must be written out; requests without an Origin header are allowed"`
	Credentials       bool         `key:"credentials" default:"false" doc:"lets browsers send cookies from those origins"`
	NotSentLowatBytes int          `key:"notSentLowatBytes" default:"4096" min:"0" doc:"how little the kernel takes from a lane before it is written; 0: the kernel's own"`
	MemoryShare       float64      `key:"memoryShare" default:"0" min:"0" max:"1" later:"a memory share per server" doc:"of the budget; 0: in common"`
	SocketIO          socketIOKeys `key:"socketio" doc:"Socket.IO's options, by its names"`
	Limits            limitKeys    `key:"limits" doc:"what this server takes on"`
	SpillRootPath     string       `key:"spillRootPath" only:"the journal's directory is journal.path" doc:"StreamFence's spill directory: the journal's, unless journal.path is set; .streamfence-spill if a topic spills and neither is"`
	ManagementPort    int          `key:"managementPort" only:"the management API listens on management.port" doc:"StreamFence's management port: without effect, as it is in StreamFence JS files"`
	Namespaces        []namespace  `key:"namespaces" required:"true" doc:"the namespaces of this server"`
}

type tlsKeys struct {
	CertChainPemPath   string `key:"certChainPemPath" default:"" doc:"certificate chain, PEM; read again when it changes, as all of these"`
	PrivateKeyPemPath  string `key:"privateKeyPemPath" default:"" doc:"private key, PEM"`
	PrivateKeyPassword string `key:"privateKeyPassword" default:"" secret:"true" doc:"if the key is encrypted: PKCS #8"`
	Protocol           string `key:"protocol" default:"TLSv1.3" enum:"TLSv1.3,TLSv1.2,TLS" doc:"the oldest version spoken; TLS is TLSv1.2"`
	ClientCAFile       string `key:"clientCAFile" default:"" doc:"clients must present a certificate that one in this file has signed, PEM; empty: none is asked for"`
	MaxHandshakes      int    `key:"maxHandshakes" default:"1024" min:"1" max:"100000" doc:"TLS handshakes at the same time; beyond it connections wait"`
}

type socketIOKeys struct {
	Path                    string        `key:"path" default:"/socket.io/" doc:"the path of the protocol"`
	PingInterval            time.Duration `key:"pingInterval" default:"25000" min:"1" doc:"milliseconds between two pings"`
	PingTimeout             time.Duration `key:"pingTimeout" default:"20000" min:"1" doc:"milliseconds for the answer"`
	MaxHTTPBufferSize       int           `key:"maxHttpBufferSize" default:"1000000" min:"1" doc:"bytes of the longest message and POST body"`
	ConnectTimeout          time.Duration `key:"connectTimeout" default:"45000" min:"1" doc:"milliseconds until a session that joins no namespace is closed"`
	UpgradeTimeout          time.Duration `key:"upgradeTimeout" default:"10000" min:"1" doc:"milliseconds for an upgrade to websocket"`
	Transports              []string      `key:"transports" default:"polling,websocket" enum:"polling,websocket" doc:"the transports served"`
	AllowUpgrades           bool          `key:"allowUpgrades" default:"true" doc:"from polling to websocket"`
	Cookie                  cookieKeys    `key:"cookie" doc:"a cookie with the session id, for sticky load balancers"`
	ServeClient             bool          `key:"serveClient" default:"true" doc:"serves socket.io.js"`
	AllowEIO3               bool          `key:"allowEIO3" default:"false" later:"Engine.IO 3 for Socket.IO 2 clients" doc:"lets Socket.IO 2 clients in"`
	Parser                  string        `key:"parser" default:"json" later:"parsers other than json" doc:"how packets are encoded"`
	PerMessageDeflate       bool          `key:"perMessageDeflate" default:"false" doc:"compresses websocket messages of 1024 bytes and more for clients that offer it"`
	HTTPCompression         bool          `key:"httpCompression" default:"true" doc:"compresses polling responses"`
	ConnectionStateRecovery bool          `key:"connectionStateRecovery" default:"false" later:"connection state recovery" doc:"gives a returning client what it missed"`
}

type cookieKeys struct {
	On       bool   `default:"false" short:"true"`
	Name     string `key:"name" default:"io" doc:"its name"`
	Path     string `key:"path" default:"/" doc:"the path it is sent for"`
	Domain   string `key:"domain" default:"" doc:"empty: the host that was asked"`
	HTTPOnly bool   `key:"httpOnly" default:"true" doc:"hides it from scripts"`
	Secure   bool   `key:"secure" default:"false" doc:"sends it over TLS only"`
	SameSite string `key:"sameSite" default:"lax" enum:"lax,strict,none" doc:"when other sites' requests carry it"`
	MaxAge   int    `key:"maxAge" default:"0" min:"0" doc:"seconds; 0: until the browser ends"`
}

type limitKeys struct {
	MaxConnections         int            `key:"maxConnections" default:"0" min:"0" doc:"sessions at once; beyond it handshakes get 503; 0: no limit"`
	MaxPending             int            `key:"maxPending" default:"0" min:"0" doc:"sessions at once that have joined no namespace yet; 0: no limit"`
	PerAddress             int            `key:"perAddress" default:"0" min:"0" doc:"sessions at once of one address, of IPv6 a /64; beyond it handshakes get 429; 0: no limit"`
	PerPrincipal           int            `key:"perPrincipal" default:"0" min:"0" doc:"connections at once of one principal; beyond it CONNECT is refused; 0: no limit"`
	AddressHandshakes      int            `key:"handshakesPerSecondPerAddress" default:"0" min:"0" doc:"new sessions a second of one address, of IPv6 a /64; beyond it handshakes get 429; 0: no limit"`
	HandshakesPerSecond    int            `key:"handshakesPerSecond" default:"0" min:"0" doc:"new sessions a second; beyond it handshakes get 503; 0: no limit"`
	TrustedProxies         []string       `key:"trustedProxies" doc:"networks, or addresses, of proxies whose word about the client's address is believed"`
	ForwardedHeader        string         `key:"forwardedHeader" default:"auto" enum:"auto,x-forwarded-for,forwarded,none" doc:"the one field of trusted proxies' requests that says where they come from; auto: x-forwarded-for, or none with proxyProtocol"`
	HeaderTimeout          time.Duration  `key:"headerTimeoutMs" default:"5000" min:"1" doc:"for a request's header to arrive"`
	KeepAliveTimeout       time.Duration  `key:"keepAliveTimeoutMs" default:"75000" min:"1" doc:"how long a connection between two requests is kept; longer than a proxy in front keeps its own"`
	MaxSilence             time.Duration  `key:"maxSilenceMs" default:"0" min:"0" doc:"no byte from a client for so long ends its connection, whatever its kernel takes; 0: four times pingInterval + pingTimeout"`
	SubscriptionsPerSocket int            `key:"subscriptionsPerSocket" default:"1000" min:"1" doc:"topics one socket may subscribe to"`
	RoomsPerSocket         int            `key:"roomsPerSocket" default:"1000" min:"1" doc:"rooms one socket may be in"`
	TopicsPerNamespace     int            `key:"topicsPerNamespace" default:"200000" min:"1" doc:"concrete topics made from patterns at a time"`
	Inbound                []inboundLimit `key:"inbound" doc:"what clients may send"`
}

type inboundLimit struct {
	Events   string        `key:"events" default:"*" doc:"which events: a name, or a prefix that ends in *; delivery events have both of their names, publish and weir:publish"`
	Topics   string        `key:"topics" default:"" doc:"of delivery events, which topics, as events; empty: any, and events that have none"`
	Messages int           `key:"messages" default:"100" min:"0" doc:"events in a window; 0: any number"`
	Bytes    int           `key:"bytes" default:"1048576" min:"0" doc:"of their arguments and attachments in a window; 0: any number"`
	Window   time.Duration `key:"windowMs" default:"1000" min:"1" max:"3600000" doc:"the window, which slides"`
	Action   string        `key:"action" default:"throttle" enum:"throttle,drop,disconnect" doc:"what becomes of more: throttle reads the client at this rate, drop answers with the code limited, disconnect ends the client"`
	Per      string        `key:"per" default:"socket" enum:"socket,principal,address" doc:"what is counted together"`
	DryRun   bool          `key:"dryRun" default:"false" doc:"counts and logs what it would do, and lets everything through"`
}

type namespace struct {
	Path             string                 `key:"path" required:"true" example:"/feed" doc:"/ or /name"`
	Dialect          weir.Shape             `key:"dialect" default:"js" enum:"js,envelope" doc:"how deliveries look: js (payload) or (payload, metadata), envelope ({metadata, payload})"`
	AutoSubscribe    []string               `key:"autoSubscribe" doc:"topics every socket gets at connect"`
	ClientPublish    string                 `key:"clientPublish" default:"deny" enum:"deny,allow,permitted" doc:"whether clients may publish; permitted: to topics that their token grants"`
	ClientHistory    string                 `key:"clientHistory" default:"deny" enum:"deny,allow" doc:"whether clients may read what topics keep (weir:history)"`
	ClientRooms      []string               `key:"clientRooms" doc:"rooms that clients may join by weir:join: names, or prefixes that end in *"`
	EventsLane       eventsLaneKeys         `key:"eventsLane" doc:"bounds what waits for a client besides topics: plain events, acks and namespace packets"`
	SlowPenalty      time.Duration          `key:"slowPenaltyMs" default:"5000" min:"1" max:"60000" doc:"how long a client that was cut for being slow is refused; doubles with each cut up to a minute"`
	InboundAckPolicy string                 `key:"inboundAckPolicy" default:"ACK_ON_RECEIPT" enum:"ACK_ON_RECEIPT,ACK_AFTER_HANDLER_SUCCESS" doc:"when a client's publish is answered"`
	Schemas          map[string]*schemaKeys `key:"schemas" live:"true" doc:"event or topic, a name or a prefix that ends in *: JSON Schema file, or a mapping"`
	policy
	Topics []topic `key:"topics" example:"prices" doc:"a name, a prefix that ends in *, or a mapping; the longest prefix wins"`
}

type schemaKeys struct {
	File       string `key:"file" required:"true" short:"true" doc:"a JSON Schema (draft 2020-12); it may refer to files beside it and below, and to nothing else"`
	Arguments  bool   `key:"arguments" default:"false" doc:"it is about the array of all arguments of the event, in the place of the one it has to have"`
	PublishAPI bool   `key:"publishApi" default:"false" doc:"holds to it also what the application publishes to the topic, by the management API or in Go"`
	MaxBytes   int    `key:"maxBytes" default:"65536" min:"1" doc:"of the JSON that is looked into; more is refused"`
	MaxDepth   int    `key:"maxDepth" default:"32" min:"1" max:"512" doc:"of arrays and objects in each other; more is refused"`
	DryRun     bool   `key:"dryRun" default:"false" doc:"counts and logs what it would refuse, and lets everything through"`
}

type eventsLaneKeys struct {
	MaxMessages    int           `key:"maxMessages" default:"1024" min:"1" max:"16777216" doc:"messages"`
	MaxBytes       int           `key:"maxBytes" default:"1048576" min:"1" doc:"bytes"`
	OverflowAction weir.Overflow `key:"overflowAction" default:"DISCONNECT" enum:"DISCONNECT,REJECT_NEW" doc:"REJECT_NEW drops new plain events"`
}

// policy is set per topic; on a namespace it is the default of its topics.
type policy struct {
	DeliveryMode               weir.Mode     `key:"deliveryMode" default:"BEST_EFFORT" enum:"BEST_EFFORT,AT_LEAST_ONCE" doc:"AT_LEAST_ONCE repeats until acknowledged"`
	OverflowAction             weir.Overflow `key:"overflowAction" default:"DROP_OLDEST" sf:"REJECT_NEW" enum:"DROP_OLDEST,REJECT_NEW,COALESCE,SNAPSHOT_ONLY,SPILL_TO_DISK,DISCONNECT" doc:"what a full lane does with the next message"`
	MaxQueuedMessagesPerClient int           `key:"maxQueuedMessagesPerClient" default:"64" min:"1" max:"16777216" doc:"messages of one topic that wait for one client"`
	MaxQueuedBytesPerClient    int           `key:"maxQueuedBytesPerClient" default:"524288" min:"1" doc:"the same in bytes"`
	Key                        string        `key:"key" default:"" doc:"JSON pointer into the payload, /symbol: COALESCE keeps the newest message of each value"`
	MaxInFlight                int           `key:"maxInFlight" default:"32" sf:"1" min:"1" max:"10000" sfmin:"-2147483648" doc:"reliable messages sent and not acknowledged; at most maxQueuedMessagesPerClient"`
	AckTimeout                 time.Duration `key:"ackTimeoutMs" default:"5000" sf:"1000" min:"1" doc:"until a reliable message is sent again"`
	MaxRetries                 int           `key:"maxRetries" default:"5" sf:"0" min:"0" max:"65534" doc:"sends after the first"`
	RetryBackoff               float64       `key:"retryBackoff" default:"2" sf:"1" min:"1" max:"100" doc:"factor on ackTimeoutMs for each further send; 1: none"`
	TTL                        time.Duration `key:"ttlMs" default:"0" min:"0" doc:"how old a message may be when it is written; 0: any age"`
	Snapshot                   bool          `key:"snapshot" default:"false" doc:"subscribing sends the newest message first (COALESCE: of each key), marked in its metadata; a subscription may ask for it or decline; without true a topic keeps messages from when it is first asked"`
	SnapshotMaxKeys            int           `key:"snapshotMaxKeys" default:"1000" min:"0" max:"100000" doc:"messages kept of one COALESCE topic for who subscribes later, the oldest give way; other topics keep one; 0: none"`
	SnapshotMaxBytes           int           `key:"snapshotMaxBytes" default:"1048576" min:"1" doc:"the same in bytes; all topics together keep at most an eighth of memory.budgetBytes"`
	FlushDelay                 time.Duration `key:"flushDelayMs" default:"0" min:"0" max:"1000" doc:"how long a message may wait so that more of them share a send; 0: an idle shard writes at once"`
	Weight                     int           `key:"weight" default:"1" min:"1" max:"1000" doc:"messages the topic's lane may write in its turn"`
	AllowPolling               bool          `key:"allowPolling" default:"true" doc:"false refuses subscriptions over long-polling"`
	AuthRequired               bool          `key:"authRequired" default:"false" doc:"asks for a token at connect (namespace), subscribe and publish (topic)"`
	Coalesce                   bool          `key:"coalesce" default:"false" only:"write overflowAction: SNAPSHOT_ONLY, or COALESCE with a key" doc:"StreamFence's: at most one unsent message per topic, the newest"`
	Retention                  retentionKeys `key:"retention" doc:"what the journal keeps of a topic; SPILL_TO_DISK always keeps"`
	History                    int           `key:"history" default:"0" min:"0" max:"100000" doc:"newest messages of a topic that are kept: in memory, or in its journal where it has one; subscriptions may ask for the last of them"`
	HistoryMaxBytes            int           `key:"historyMaxBytes" default:"1048576" min:"1" doc:"the same in bytes, in memory; all topics together keep at most an eighth of memory.budgetBytes"`
}

type retentionKeys struct {
	MaxAge   time.Duration `key:"maxAgeMs" default:"0" min:"0" doc:"older records are deleted; 0: an hour, where the topic is kept at all"`
	MaxBytes int64         `key:"maxBytes" default:"0" min:"0" doc:"of one topic; beyond it the oldest records are deleted; 0: 1 GiB, where the topic is kept at all"`
}

type topic struct {
	Name string `key:"name" required:"true" short:"true" doc:"its name, or a prefix that ends in *"`
	policy
}
