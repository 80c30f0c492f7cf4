package weir

import "github.com/streamweir/weir/internal/base"

// Mode says what a topic promises about delivery. As text, in JSON and YAML too, it is
// BEST_EFFORT or AT_LEAST_ONCE.
type Mode uint8

// The delivery modes.
const (
	BestEffort  Mode = iota // what the lane holds is written once, in order; what does not fit is handled by Overflow
	AtLeastOnce             // repeated until acknowledged, exhausted or the client is gone
)

// String returns the configuration file's name.
func (m Mode) String() string { return base.Mode(m).String() }

// MarshalText writes the configuration file's name. It never fails.
func (m Mode) MarshalText() ([]byte, error) { return base.Mode(m).MarshalText() }

// UnmarshalText accepts the configuration file's names, in capitals; the error lists them.
func (m *Mode) UnmarshalText(b []byte) error { return (*base.Mode)(m).UnmarshalText(b) }

// Overflow says what a full lane does with the next message. As text it is DROP_OLDEST,
// REJECT_NEW, COALESCE, SNAPSHOT_ONLY, SPILL_TO_DISK or DISCONNECT.
type Overflow uint8

// The overflow actions. AtLeastOnce topics allow RejectNew, SpillToDisk and DisconnectClient.
const (
	DropOldest       Overflow = iota // drop from the head until the new one fits
	RejectNew                        // drop the new one
	Coalesce                         // replace the unsent message of the same key in place, full or not; else as DropOldest
	SnapshotOnly                     // at most one unsent message, always the newest
	SpillToDisk                      // queue nothing more: the client gets what follows from the journal, in order, as it reads on
	DisconnectClient                 // cut the client: it comes back and starts afresh
)

// String returns the configuration file's name.
func (o Overflow) String() string { return base.Overflow(o).String() }

// MarshalText writes the configuration file's name. It never fails.
func (o Overflow) MarshalText() ([]byte, error) { return base.Overflow(o).MarshalText() }

// UnmarshalText accepts the configuration file's names, in capitals; the error lists them.
func (o *Overflow) UnmarshalText(b []byte) error { return (*base.Overflow)(o).UnmarshalText(b) }

// EventsOverflow says what a full lane of events does with the next one.
type EventsOverflow uint8

// What a full lane of events does. Acks and namespace packets are never dropped.
const (
	EventsDisconnect EventsOverflow = iota // cut the client; in files DISCONNECT
	EventsRejectNew                        // drop a new plain event, and count it; in files REJECT_NEW
)

// overflow is the action that the lane has.
func (o EventsOverflow) overflow() base.Overflow {
	if o == EventsRejectNew {
		return base.RejectNew
	}
	return base.Disconnect
}

// Shape is how a delivery looks to the client: see docs/guide/clients.md. As text it is js
// or envelope.
type Shape uint8

// The shapes of a delivery.
const (
	ShapeJS       Shape = iota // event named after the topic: (payload), or (payload, metadata) when reliable
	ShapeEnvelope              // event named after the topic: ({metadata, payload})
)

// String returns the configuration file's name.
func (s Shape) String() string { return base.Shape(s).String() }

// MarshalText writes the configuration file's name. It never fails.
func (s Shape) MarshalText() ([]byte, error) { return base.Shape(s).MarshalText() }

// UnmarshalText accepts the configuration file's names; the error lists them.
func (s *Shape) UnmarshalText(b []byte) error { return (*base.Shape)(s).UnmarshalText(b) }

// The numbers are those of package base: otherwise these do not compile.
var (
	_ = [1]struct{}{}[uint8(AtLeastOnce)-uint8(base.AtLeastOnce)]
	_ = [1]struct{}{}[uint8(DisconnectClient)-uint8(base.Disconnect)]
	_ = [1]struct{}{}[uint8(SnapshotOnly)-uint8(base.SnapshotOnly)]
	_ = [1]struct{}{}[uint8(ShapeEnvelope)-uint8(base.ShapeEnvelope)]
)
