package base

// Cause says why a connection or a socket was closed. It is the label of
// weir_cut_total or weir_left_total and the row of docs/errors.md.
type Cause uint8

// The close causes: the first block ends whole connections by the server's
// decision, the second one socket, the third is the peer's or the network's doing.
const (
	CauseSlowConsumer Cause = iota
	CauseMemoryBudget
	CauseDraining
	CauseAdmin

	CauseTokenExpired
	CauseForbidden
	CauseRateLimited
	CauseServerDisconnect

	CauseClientDisconnect
	CauseTransportClose
	CauseTransportError
	CausePingTimeout
	CauseParseError
	CauseForcedClose
	CauseShutdown

	Causes = int(CauseShutdown) + 1
)

type causeRow struct {
	name       string
	reason     string // Socket.IO's disconnect reason as handlers see it (protocol.md 2.10)
	reconnects bool   // whether the official clients come back by themselves
}

var causeRows = [Causes]causeRow{
	CauseSlowConsumer:     {"slow_consumer", "forced server close", true},
	CauseMemoryBudget:     {"memory_budget", "forced server close", true},
	CauseDraining:         {"draining", "server shutting down", true},
	CauseAdmin:            {"admin", "forced server close", true},
	CauseTokenExpired:     {"token_expired", "server namespace disconnect", false},
	CauseForbidden:        {"forbidden", "server namespace disconnect", false},
	CauseRateLimited:      {"rate_limited", "server namespace disconnect", false},
	CauseServerDisconnect: {"server_disconnect", "server namespace disconnect", false},
	CauseClientDisconnect: {"client_disconnect", "client namespace disconnect", false},
	CauseTransportClose:   {"transport_close", "transport close", true},
	CauseTransportError:   {"transport_error", "transport error", true},
	CausePingTimeout:      {"ping_timeout", "ping timeout", true},
	CauseParseError:       {"parse_error", "parse error", true},
	CauseForcedClose:      {"forced_close", "forced close", true},
	CauseShutdown:         {"shutdown", "server shutting down", true},
}

func (c Cause) String() string { return causeRows[c].name }

// CauseNamed returns the cause with that name.
func CauseNamed(name string) (c Cause, ok bool) {
	for i := range causeRows {
		if causeRows[i].name == name {
			return Cause(i), true
		}
	}
	return 0, false
}

// SocketReason is the Socket.IO disconnect reason for handlers (protocol.md 2.10).
func (c Cause) SocketReason() string { return causeRows[c].reason }

// Expels reports whether the application or a rule has put the socket out: its events that still wait are not handled
// then. The events of a socket that leaves for another cause are.
func (c Cause) Expels() bool { return c >= CauseTokenExpired && c <= CauseServerDisconnect }

// Leaves reports whether a connection that ends so has left by itself, or its network has: the server has not cut it.
func (c Cause) Leaves() bool { return c >= CauseClientDisconnect && c <= CausePingTimeout }

// Reconnects reports whether official clients reconnect by themselves after it.
func (c Cause) Reconnects() bool { return causeRows[c].reconnects }
