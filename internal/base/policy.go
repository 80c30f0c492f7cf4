package base

import (
	"fmt"
	"strings"
)

// Mode says what a topic promises about delivery.
type Mode uint8

// The delivery modes of configuration.md.
const (
	BestEffort Mode = iota
	AtLeastOnce
)

// Overflow says what a full lane does with the next message.
type Overflow uint8

// The overflow actions of configuration.md. SpillToDisk needs the journal.
const (
	DropOldest Overflow = iota
	RejectNew
	Coalesce
	SnapshotOnly
	SpillToDisk
	Disconnect
)

// Shape is the form of a delivery on the wire: protocol.md 4, "dialect" and "shape".
type Shape uint8

// The shapes of protocol.md 4.
const (
	ShapeJS Shape = iota
	ShapeEnvelope
)

var (
	modeNames     = []string{"BEST_EFFORT", "AT_LEAST_ONCE"}
	overflowNames = []string{"DROP_OLDEST", "REJECT_NEW", "COALESCE", "SNAPSHOT_ONLY", "SPILL_TO_DISK", "DISCONNECT"}
	shapeNames    = []string{"js", "envelope"}
)

func (m Mode) String() string     { return name(modeNames, int(m)) }
func (o Overflow) String() string { return name(overflowNames, int(o)) }
func (s Shape) String() string    { return name(shapeNames, int(s)) }

// MarshalText writes the configuration file's name.
func (m Mode) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// UnmarshalText accepts the configuration file's names.
func (m *Mode) UnmarshalText(b []byte) error { return parse(modeNames, "deliveryMode", b, (*uint8)(m)) }

// MarshalText writes the configuration file's name.
func (o Overflow) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText accepts the configuration file's names.
func (o *Overflow) UnmarshalText(b []byte) error {
	return parse(overflowNames, "overflowAction", b, (*uint8)(o))
}

// MarshalText writes the configuration file's name.
func (s Shape) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText accepts the configuration file's names.
func (s *Shape) UnmarshalText(b []byte) error { return parse(shapeNames, "dialect", b, (*uint8)(s)) }

func name(names []string, i int) string {
	if i < len(names) {
		return names[i]
	}
	return fmt.Sprintf("unknown(%d)", i)
}

func parse(names []string, key string, b []byte, to *uint8) error {
	for i, n := range names {
		if n == string(b) {
			*to = uint8(i)
			return nil
		}
	}
	return fmt.Errorf("%s %q: want one of %s", key, b, strings.Join(names, ", "))
}
