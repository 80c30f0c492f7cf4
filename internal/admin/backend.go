package admin

import (
	"context"
	"time"

	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/drain"
)

// Publisher is what the API needs to send. Methods may be called from any
// goroutine. Errors are *base.Error or the delivery package's; any other is
// answered as internal and logged.
type Publisher interface {
	// Publish gives a message its place in its topic's order, waiting for room as
	// long as ctx allows. It does not wait for the receipt. Two calls one after the
	// other are published in that order. Nothing of r is kept but its strings.
	Publish(ctx context.Context, r *PublishRequest) (*delivery.Pending, error)
	// Emit broadcasts a plain Socket.IO event on all nodes; wait is called once, for what it met, at most until its ctx ends.
	Emit(ctx context.Context, r *EmitRequest) (wait func(ctx context.Context) Emitted, err error)
}

// Emitted is what an event met at the lanes of those it was meant for, on the nodes that have answered.
type Emitted struct {
	delivery.Receipt
	Nodes *Nodes
}

// Nodes says which nodes of a cluster an answer is of. nil: there is no cluster.
type Nodes struct {
	Answered int      `json:"answered"`          // with the one that was asked
	Missing  []string `json:"missing,omitempty"` // by name: those that have not answered, or not in full
	Unknown  bool     `json:"unknown,omitempty"` // the one that was asked does not know all that are there
}

// Whole reports whether nothing is missing.
func (n *Nodes) Whole() bool { return n == nil || (len(n.Missing) == 0 && !n.Unknown) }

// PublishRequest is the body of POST /api/publish. Namespace and Topic are
// declared; at most one of Socket, Principal and Room is set.
type PublishRequest struct {
	Namespace string
	Topic     string
	Payload   []byte        // JSON, byte by byte as it was sent, or with Binary any bytes; changes when Publish has returned
	Binary    bool          // the payload was sent as payloadBase64
	Key       string        // coalescing key
	ID        string        // idempotency key
	TTL       time.Duration // 0 = the topic's
	Receipt   bool          // Pending.Receipt will be asked
	Socket    string        // Socket.IO id
	Principal string
	Room      string // subscribers of the topic who are in the room
}

// EmitRequest is the body of POST /api/emit. The namespace is declared; at most
// one of Socket, Principal and Rooms is set, none means everyone.
type EmitRequest struct {
	Namespace string
	Event     string
	Args      [][]byte // each JSON, byte by byte as it was sent
	Rooms     []string
	Except    []string
	Socket    string
	Principal string
}

// Sockets is what the API does to the connected clients of all nodes. Methods may be called from
// any goroutine. An error that ends a call early does not end what it had begun.
type Sockets interface {
	// Join leaves sockets that are in too many rooms already as they are: skipped.
	Join(ctx context.Context, f Filter, rooms []string) (Reached, error)
	Leave(ctx context.Context, f Filter, rooms []string) (Reached, error)
	// Disconnect returns when the sockets are found; they are then sent away in the
	// background at the rate asked for.
	Disconnect(ctx context.Context, r DisconnectRequest) (Reached, error)
}

// Reached is what a call has done to sockets, on the nodes that have answered.
type Reached struct {
	Sockets int    `json:"sockets"`           // how many the filter meant
	Skipped int    `json:"skipped,omitempty"` // of them, in too many rooms already to be put into another
	DryRun  bool   `json:"dryRun,omitempty"`
	Nodes   *Nodes `json:"nodes,omitempty"`
}

// Filter says which sockets of a namespace are meant: exactly one of ID,
// Principal, Room, Topic and Address is set.
type Filter struct {
	Namespace string
	ID        string // Socket.IO id
	Principal string
	Room      string
	Topic     string // subscribers of the concrete topic
	Address   string // without port
}

// DisconnectRequest is the body of POST /api/sockets/disconnect.
type DisconnectRequest struct {
	Filter    Filter
	Rate      int  // clients per second; 0 = all at once
	Reconnect bool // whether official clients come back by themselves
	DryRun    bool // only count
}

// State is the server as a whole.
type State interface {
	// Ready is nil while the server takes clients; the error says why not and is
	// shown by /readyz. The whole of it may have addresses: it is for who may read.
	Ready(whole bool) error
	// Begun is nil unless the server has been started and does not serve yet; the error says what it waits for. Until then only the
	// probes, profiles and /metrics are answered.
	Begun() error
	// Ailing is what is wrong though the server takes clients; "": nothing that it knows of.
	Ailing() string
	// Drain begins what SIGTERM does and returns at once; again is harmless. The error is that the server does not run.
	Drain() (drain.Progress, error)
	// Draining says how far the drain is, or would be.
	Draining() drain.Progress
	// Config is the effective configuration with its secrets masked, ready to be
	// marshalled as JSON.
	Config() any
}
