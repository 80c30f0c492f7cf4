package metrics

import (
	"time"

	"github.com/streamweir/weir/internal/latency"
)

// Extra are the figures the hub does not know: those of the door, the workers
// and the build. Counters count since the process started.
type Extra struct {
	Since           time.Time                   // when the server was made
	Sessions        map[string]int              // open Engine.IO sessions by transport: polling, websocket
	Refused         map[string]uint64           // handshakes refused, by reason: a fixed set
	Requests        map[string]uint64           // clients' subscribe, publish and the like refused, by code: a fixed set
	Namespaces      map[string]NamespaceFigures // by path; only declared namespaces
	Strays          map[string]uint64           // packets of clients that say nothing, by kind: a fixed set
	AuthRateLimited uint64                      // attempts refused because the address had failed too often
	AuthRevoked     uint64                      // tokens refused because they, or their principals, are revoked
	Revocations     int                         // in force, or ended a moment ago
	Reconnects      uint64                      // clients that came back after the server had cut them
	Handler         latency.Distribution        // how long handlers ran
	Handlers        []HandlerTime               // the same by event
	Overdue         int                         // handlers that run beyond their deadline
	Late            uint64                      // handlers that have ended after it
	RequestsRunning int                         // of clients, on their pool
	RequestsQueued  int                         // that wait for it
	Workers         Workers
	Outside         Outside
	LogDropped      uint64            // lines the log's handler did not take in time
	EventsDropped   map[string]uint64 // calls of Events dropped, by callback: a fixed set
	EventsPanics    map[string]uint64
	Inbound         []Inbound // of the servers that limit what clients may send
	TLS             []TLS     // of the ports that speak it
	Journal         *Journal  // nil: none is open
	Reloads         *Reloads  // nil: there is no configuration to be read again
	Cluster         *Cluster  // nil: the server is alone
	Hooks           []Hook    // those of the application's backend
	Build           Build
}

// Hook are the figures of one hook.
type Hook struct {
	Hook             string            // which: a fixed set
	Calls            map[string]uint64 // by how they ended: a fixed set
	Running, Waiting int
	Open             bool                 // none is made, or one that decides about the others
	Took             latency.Distribution // how long those took that were made
}

// HandlerTime is how long the handlers of an event took. Its name is the application's.
type HandlerTime struct {
	Namespace, Event string
	Took             latency.Distribution
}

// Journal are the figures of the log on disk. Counters count since it was opened.
type Journal struct {
	Appended, AppendedBytes uint64 // records, and what was written for them
	Failed, Busy            uint64 // appends that the disk, or its budget, has refused; because too much waited for it
	Sync                    latency.Distribution
	SyncsFailed             uint64
	TailReads, DiskReads    uint64 // reads answered from memory; by a look at the disk
	Blocks, ReadsFailed     uint64 // blocks that came from the disk; reads that an error has ended
	Damaged, Torn           uint64 // what was not as it had been written; ends that were never completed
	GaveWay                 uint64 // segments that were removed because the budget was used up
	Used, Limit             int64  // bytes on the disk, and as many as there may be
	Resting, Aside          int64  // of them: of topics that nobody has opened; of files that were set aside
	OpenFiles               int    // to be written
	Troubles                []Trouble
	Topics                  []Kept
}

// Kept is what the topics of one declaration that are open have on disk.
type Kept struct {
	Namespace, Topic string // as declared
	Bytes            int64  // of files
	Unsynced         int64  // written, and not known to outlive the machine
	Segments         int
}

// Trouble is something that is wrong with the disk.
type Trouble struct {
	What     string    `json:"what"`     // of a fixed set: Whats
	Sentence string    `json:"sentence"` // what it is, without a full stop
	Since    time.Time `json:"since"`
	Detail   string    `json:"detail"` // the newest error, or what hangs; no name of a topic or file
}

// Whats are the words of Trouble.What: those of package journal.
var Whats = [...]string{"failing", "full", "read_only", "gone", "no_room", "slow", "removed"}

// Cluster are the figures of a node.
type Cluster struct {
	Up      bool              // the broker can be reached
	Nodes   int               // that are there, with this one
	Unsent  map[string]uint64 // what has not gone to other nodes, by kind: a fixed set
	Refused uint64            // events of other nodes for handlers, for want of room
	Unheard uint64            // messages of other nodes that came and were lost, for want of room
	Missed  uint64            // gaps in topics' logs: records that were not kept until this node could read them

	Renumbered uint64 // topics' logs that the broker has lost while this node had them open
}

// Inbound are the figures of the limits of one server on what clients may send.
type Inbound struct {
	Server    string
	Beyond    []Beyond
	Throttled int // clients that are not read now
	Senders   int // principals and addresses whose rate is remembered
}

// Beyond is how many events were beyond limits of one action.
type Beyond struct {
	Action string // a fixed set
	DryRun bool   // would have been, were the limits in force
	Events uint64
}

// Reloads are the times that the configuration was read again.
type Reloads struct {
	Applied, Refused uint64
	Last             time.Time // when one was put in force; zero: never
}

// TLS are the figures of a port that speaks it.
type TLS struct {
	Server           string            // its name: a fixed set
	Expires          time.Time         // when the certificate does; zero: not known
	Renewed, Refused uint64            // certificates read again that were put in force, and that cannot be used
	Handshakes       map[string]uint64 // by how they ended: a fixed set
}

// NamespaceFigures are the figures of one namespace besides its topics.
type NamespaceFigures struct {
	Opened, Closed          uint64 // sockets that joined, that left: the difference is connected
	Received, ReceivedBytes uint64 // events from clients
	AuthRejected            uint64 // tokens refused: connect, subscribe and publish
	AuthUnavailable         uint64 // tokens that could not be checked
	NoHandler               uint64 // client events that nothing handles
	EventsSkipped           uint64 // client events not handled: the application had disconnected the client, or the server has stopped
	AnswersUnheard          uint64 // answers of handlers to clients that had left
	Schemas                 []SchemaFigures
}

// SchemaFigures are those of what one name of a namespace is held to.
type SchemaFigures struct {
	Name            string // as declared
	Violations, Dry uint64 // values refused, and those that would have been, were it in force
}

// connected is how many sockets are in the namespace. The two counters are read
// one after the other: a socket that came and left in between does not make it
// negative.
func (f NamespaceFigures) connected() uint64 {
	if f.Closed > f.Opened {
		return 0
	}
	return f.Opened - f.Closed
}

// Workers are the figures of the pool that runs handlers.
type Workers struct {
	Running, Queued int
	Panics          uint64
}

// Outside are the figures of the pool that asks the application's checks.
type Outside struct {
	Running, Queued int
	Refused         uint64
}

// Build says what is running.
type Build struct {
	Version, Revision, GoVersion string
}
