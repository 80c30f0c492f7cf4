package admin

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/metrics"
)

// Options say what the management API serves and to whom. Hub, Publisher,
// Sockets, State and Gatherer are required.
type Options struct {
	Hub       *delivery.Hub
	Publisher Publisher
	Sockets   Sockets
	State     State
	History   History // nil: nothing is kept
	Refused   Refused // nil: nobody is

	Handlers Handlers // nil: there are none

	Revocations Revocations              // nil: there are none
	Reload      func() (any, error)      // has the configuration read again; its answer. nil: there is none
	Troubles    func() []metrics.Trouble // what is wrong with the disk; it must not ask it. nil: nothing ever is
	Extra       func() metrics.Extra     // figures of /api/stats the hub does not know; nil = none
	Gatherer    prometheus.Gatherer      // what /metrics shows

	// Authorize finds the key a request carries (Authorization: Bearer, else
	// X-API-Key). It must compare in constant time. nil = there are no keys, and
	// Local decides.
	Authorize func(token string) (name string, allow Allow, ok bool)
	// Local admits a request when there are no keys: asked for every path and
	// method, health included. Its error is told to the client. With neither
	// Authorize nor Local every request is refused; an application that mounts the
	// API behind its own check passes a Local that admits all.
	Local func(*http.Request) error
	// PProf serves /debug/pprof/ to keys without the admin right, and when there
	// are no keys.
	PProf bool

	PublishTimeout time.Duration // how long a publish waits for room before 429; default 5 s
	ReceiptTimeout time.Duration // how long it waits for its receipt; default 1 s
	MaxBody        int64         // bytes of a body, or of one line of a batch; default 8 MiB

	Views  *Views          // what the node shows of itself; nil = new ones, without other nodes
	Ledger *Ledger         // sums up publishes in the log; nil = they are not
	Logger *slog.Logger    // writes but publishes are logged with the key's name; default slog.Default()
	Done   <-chan struct{} // closed when the server closes: ends tails and batches; nil = never
}

// Allow are the rights of a key. They do not imply each other.
type Allow struct {
	Publish bool // publish and emit
	Read    bool // figures, clients, topics, tail, metrics
	Admin   bool // rooms, disconnect, drain, pprof

	Namespaces []string // those they are for: what concerns others, or the whole server, is refused; nil: all
}

const (
	defaultPublishTimeout = 5 * time.Second
	defaultReceiptTimeout = time.Second
	defaultMaxBody        = 8 << 20
)

func (o Options) withDefaults() Options {
	if o.PublishTimeout <= 0 {
		o.PublishTimeout = defaultPublishTimeout
	}
	if o.ReceiptTimeout <= 0 {
		o.ReceiptTimeout = defaultReceiptTimeout
	}
	if o.MaxBody <= 0 {
		o.MaxBody = defaultMaxBody
	}
	if o.Revocations == nil {
		o.Revocations = noRevocations{}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Ledger == nil {
		o.Ledger = NewLedger(o.Logger)
	}
	if o.Troubles == nil {
		o.Troubles = func() []metrics.Trouble { return nil }
	}
	if o.Views == nil {
		o.Views = NewViews(o.Hub, o.Troubles, nil)
	}
	if o.Extra == nil {
		o.Extra = func() metrics.Extra { return metrics.Extra{} }
	}
	return o
}
