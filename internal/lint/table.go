package lint

import "strings"

// Room is one row of the import table: what the packages of one directory may import from this module.
type Room struct {
	Path    string   // directory from the module's root; "." is the root, "x/*" is every directory below x
	StdOnly bool     // nothing from other modules either
	May     []string // rooms, in the notation of Path
}

// Table says which rooms of docs/architecture.md may know which, with the clarifications of
// docs/adr/0001-import-table.md. An import that is not listed is not allowed, and a package without a row fails: a new
// room begins with its row here.
//
// base is the shared vocabulary (frames, reasons, codes). Every room of the server may know it, except those that
// must not know there is a server: wire/*, wheel, vfs and the cluster contract.
func Table() []Room { //nolint:funlen // a table, a row for each room
	return []Room{
		// Pure cores and contracts.
		{Path: "internal/base", StdOnly: true, May: []string{"internal/wire/ws"}},
		{Path: "internal/wire/*", StdOnly: true},
		{Path: "internal/wheel", StdOnly: true},
		{Path: "internal/turns", StdOnly: true},
		{Path: "internal/agenda", StdOnly: true},
		{Path: "internal/args", StdOnly: true, May: []string{"internal/base", "internal/wire/sio"}},
		{Path: "internal/latency", StdOnly: true},
		{Path: "internal/budget", StdOnly: true},
		{Path: "internal/vfs", StdOnly: true},
		{Path: "internal/vfs/memfs", StdOnly: true, May: []string{"internal/vfs"}},
		{Path: "internal/pointer"},
		{Path: "internal/lane", StdOnly: true, May: []string{"internal/base"}},
		{Path: "internal/outbox", StdOnly: true, May: []string{"internal/base", "internal/lane"}},
		{Path: "internal/survey", StdOnly: true, May: []string{"internal/base", "internal/lane", "internal/latency", "internal/survey/*"}},
		{Path: "internal/survey/*", StdOnly: true},
		{Path: "internal/kept", StdOnly: true, May: []string{"internal/base"}},
		{Path: "internal/topiclog", StdOnly: true},
		{Path: "internal/topiclog/logtest", StdOnly: true, May: []string{"internal/topiclog"}},
		{Path: "internal/cursor", StdOnly: true},
		{Path: "cluster", StdOnly: true},
		{Path: "cluster/clustertest", StdOnly: true, May: []string{"cluster"}},
		{Path: "cluster/nats/embedded", May: []string{"cluster", "cluster/nats", "internal/vfs"}},
		{Path: "cluster/*", May: []string{"internal/base", "cluster", "internal/anchor"}},
		{Path: "internal/anchor", May: []string{"cluster"}},
		{Path: "internal/enginetest", StdOnly: true},
		{Path: "internal/redistest", StdOnly: true, May: []string{"internal/enginetest"}},
		{Path: "internal/nodes", StdOnly: true},
		{Path: "internal/sharedlog", StdOnly: true, May: []string{"internal/topiclog", "cluster"}},

		// The protocol half.
		{Path: "internal/transport", May: []string{"internal/base", "internal/turns", "internal/wire/*"}},
		{Path: "internal/transport/looptest", May: []string{"internal/base", "internal/transport"}},
		{Path: "internal/engineio", May: []string{"internal/base", "internal/turns", "internal/agenda", "internal/transport", "internal/wire/eio"}},
		{Path: "internal/socketio", May: []string{"internal/base", "internal/engineio", "internal/wire/sio"}},

		// The delivery half.
		{Path: "internal/journal", StdOnly: true, May: []string{"internal/latency", "internal/topiclog", "internal/vfs"}},
		{Path: "internal/delivery", May: []string{
			"internal/base", "internal/lane", "internal/outbox", "internal/kept", "internal/topiclog", "internal/cursor", "internal/wheel", "internal/journal", "internal/wire/sio", "cluster",
			"internal/delivery/inbox", "internal/delivery/fair", "internal/delivery/linger", "internal/delivery/recent", "internal/delivery/place", "internal/delivery/reads", "internal/turns", "internal/roster", "internal/op", "internal/packet", "internal/latency",
			"internal/survey", "internal/delivery/bell", "internal/budget",
		}},
		{Path: "internal/delivery/inbox", May: []string{"internal/base"}},
		{Path: "internal/delivery/fair", StdOnly: true},
		{Path: "internal/delivery/bell", StdOnly: true},
		{Path: "internal/delivery/recent", StdOnly: true},
		{Path: "internal/delivery/place", StdOnly: true, May: []string{"internal/topiclog"}},
		{Path: "internal/delivery/reads", StdOnly: true, May: []string{"internal/topiclog"}},
		{Path: "internal/delivery/linger", StdOnly: true, May: []string{"internal/wheel"}},
		{Path: "internal/roster", StdOnly: true},
		{Path: "internal/op", StdOnly: true, May: []string{"internal/base", "internal/roster"}},
		{Path: "internal/aside", StdOnly: true},
		{Path: "internal/attach", StdOnly: true},
		{Path: "internal/logqueue", StdOnly: true, May: []string{"internal/aside"}},

		// At the door, and the readers.
		{Path: "internal/guard", May: []string{"internal/base", "internal/wire/proxy"}},
		{Path: "internal/workers"},
		{Path: "internal/ports", StdOnly: true},
		{Path: "internal/drain", StdOnly: true},
		{Path: "internal/certs", StdOnly: true},
		{Path: "internal/watch"},
		{Path: "internal/identity"},
		{Path: "internal/hook", StdOnly: true, May: []string{"internal/latency"}},
		{Path: "internal/schema"},
		{Path: "internal/packet", StdOnly: true, May: []string{"internal/base", "internal/args", "internal/wire/*"}},
		{Path: "internal/ask", May: []string{"internal/base", "internal/args", "internal/delivery", "internal/op"}},
		{Path: "internal/metrics", May: []string{"internal/base", "internal/budget", "internal/delivery", "internal/latency", "internal/survey"}},
		{Path: "internal/admin", May: []string{"internal/base", "internal/budget", "internal/delivery", "internal/drain", "internal/latency", "internal/metrics", "internal/survey", "internal/wire/sio"}},

		// Where the halves meet.
		{Path: "internal/link", StdOnly: true, May: []string{
			"internal/base", "internal/agenda", "internal/budget", "internal/transport", "internal/engineio", "internal/socketio",
			"internal/delivery", "internal/outbox", "internal/survey", "internal/packet", "internal/wheel", "internal/guard", "internal/workers",
		}},

		// The root: every internal room except config, loadtest, doctor and demo, which stand above it.
		{Path: ".", May: []string{
			"internal/base", "internal/args", "internal/wire/*", "internal/wheel", "internal/vfs", "internal/lane", "internal/outbox", "internal/survey", "internal/kept",
			"internal/transport", "internal/engineio", "internal/socketio", "internal/topiclog", "internal/journal", "internal/delivery",
			"internal/guard", "internal/link", "internal/workers", "internal/drain", "internal/metrics", "internal/admin", "internal/build", "internal/pointer", "internal/ports", "internal/packet", "internal/ask", "internal/roster", "internal/op", "internal/latency", "internal/aside", "internal/logqueue", "internal/turns", "internal/agenda", "internal/budget", "internal/attach", "internal/certs", "internal/watch", "internal/identity", "internal/hook", "internal/schema", "internal/sharedlog", "internal/nodes", "cluster",
		}},

		// Above the root: the binary and what only it links.
		{Path: "internal/config", May: []string{"internal/base", ".", "internal/attach", "cluster", "cluster/redis", "cluster/nats", "cluster/nats/embedded"}},
		{Path: "cmd/weir/internal/doctor", May: []string{"internal/base", ".", "internal/config", "internal/certs", "internal/journal", "internal/vfs", "internal/wire/*", "cluster/nats", "cluster/nats/embedded"}},
		{Path: "cmd/weir/internal/demo", May: []string{"internal/base", ".", "internal/wire/*", "internal/transport", "internal/peer"}},
		{Path: "cmd/weir", May: []string{
			"internal/base", ".", "internal/attach", "internal/config", "internal/loadtest", "internal/loadtest/*", "internal/peer",
			"cmd/weir/internal/doctor", "cmd/weir/internal/demo", "internal/build", "internal/aside", "internal/vfs", "internal/topiclog", "internal/journal", "internal/identity", "internal/watch", "cluster", "cluster/*",
		}},

		// The clients' side of the wire, and the load tool on it: neither knows that there is a server here.
		{Path: "internal/peer", StdOnly: true, May: []string{"internal/wire/*"}},
		{Path: "internal/loadtest", May: []string{"internal/base", "internal/wire/*", "internal/peer", "internal/loadtest/*", "internal/build"}},
		{Path: "internal/loadtest/*", May: []string{"internal/base", "internal/wire/*", "internal/peer", "internal/wheel", "internal/build"}},

		// Public packages beside the root.
		{Path: "client", May: []string{"internal/base", "internal/wire/*"}},
		{Path: "internal/systemtest", StdOnly: true},
		{Path: "internal/leaks"}, // for tests only
		{Path: "weirtest", May: []string{"internal/base", ".", "internal/attach", "internal/peer"}},

		// Applications on Weir: the suite's, the benchmarks', the examples'.
		{Path: "conformance/fixture", May: []string{"internal/base", ".", "internal/config"}},
		{Path: "bench/*", May: []string{"internal/base", ".", "internal/config", "client", "internal/wire/*", "internal/peer", "internal/loadtest/*", "internal/journal", "internal/topiclog", "internal/vfs"}},
		{Path: "examples/*", May: []string{"internal/base", ".", "internal/config", "client", "internal/peer", "internal/wire/*"}},

		// The build.
		{Path: "internal/build", StdOnly: true},
		{Path: "internal/lint", StdOnly: true},
	}
}

// row returns the row of a room: the one with its very path before one that covers it.
func row(table []Room, room string) (Room, bool) {
	var covering *Room
	for i, r := range table {
		if r.Path == room {
			return r, true
		}
		if covers(r.Path, room) {
			covering = &table[i]
		}
	}
	if covering == nil {
		return Room{}, false
	}
	return *covering, true
}

// covers reports whether a path of the table's notation means room. "x/*" does not mean x itself.
func covers(notation, room string) bool {
	if below, ok := strings.CutSuffix(notation, "*"); ok {
		return strings.HasPrefix(room, below)
	}
	return notation == room
}

func (r Room) allows(room string) bool {
	for _, notation := range r.May {
		if covers(notation, room) {
			return true
		}
	}
	return false
}
