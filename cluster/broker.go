package cluster

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// The limits of names and data, in bytes.
const (
	MaxName = 1024
	MaxData = 32 << 20
)

// The errors of a member's calls. They may be wrapped.
var (
	// ErrAway says that the engine cannot be reached, or does not serve now: nothing was done, and nothing will be.
	ErrAway = errors.New("the broker is away")

	// ErrUndecided says of an Append that nobody knows whether the entries have places.
	ErrUndecided = errors.New("the broker has not said whether it was done")

	// ErrClosed says that the member was closed.
	ErrClosed = errors.New("the member is closed")

	// ErrInvalid says that an argument is not what the contract allows.
	ErrInvalid = errors.New("not valid for a broker")
)

// Broker is where nodes meet: an engine, and how to reach it. Any goroutine may call it.
type Broker interface {
	// Join makes a member of a node, and returns when the engine is reached or ctx ends: then with an error, and there
	// is no member.
	Join(ctx context.Context, node string, l Listener) (Member, error)
}

// Member is one node's part in a cluster. Any goroutine may call any method.
type Member interface {
	// Publish gives a message to all who have subscribed to the channel. nil says that the engine has it.
	// data may be changed when it has returned.
	//
	// Errors: ErrAway, ErrClosed, ErrInvalid, ctx's; but for the first three it may have been done.
	Publish(ctx context.Context, channel string, data []byte) error

	// Subscribe wishes for the messages of channels, and waits until they come. The wish holds until Unsubscribe, also when an
	// error is returned: then it is fulfilled as soon as can be, and Listener.Lapsed says so. A second wish for a channel is none.
	//
	// Errors: ErrAway, ErrClosed, ErrInvalid (then nothing is wished), ctx's.
	Subscribe(ctx context.Context, channels ...string) error

	// Unsubscribe takes wishes back. What is on its way may still arrive.
	Unsubscribe(channels ...string)

	// Append gives entries their places in a log, in their order, behind all there are: all of them, or none. Calls for one log
	// that overlap have any order. It tries again by itself while ctx allows, and never places an entry twice.
	//
	// Errors: ErrAway, ErrClosed, ErrInvalid: none has a place and none will have. ErrUndecided, whatever ended the attempts.
	Append(ctx context.Context, log string, o AppendOptions, data ...[]byte) ([]Position, error)

	// Follow is Subscribe for the entries of logs.
	Follow(ctx context.Context, logs ...string) error

	// Unfollow takes such wishes back.
	Unfollow(logs ...string)

	// Read reads the entries behind an offset, ascending. A log that was never appended to is empty.
	//
	// Errors: ErrAway, ErrClosed, ErrInvalid, ctx's.
	Read(ctx context.Context, log string, after uint64, most Limit) (Page, error)

	// State is whether the engine can be reached.
	State() State

	// Close leaves the cluster. When it has returned the listener is not called any more. It may be called twice, and not by
	// the listener.
	Close()
}

// AppendOptions say how to append.
type AppendOptions struct {
	// Keep is how many entries the log keeps, at least 1: the oldest give way. The last caller's number holds.
	Keep int
	// Above is the highest offset that the caller knows of the log: the new ones are above it.
	Above uint64
}

// Limit bounds a read. At least one entry is returned if there is one, however large.
type Limit struct {
	Entries int // 0 counts as 1
	Bytes   int // of data; 0 counts as 1
}

// Position is the place of an entry in its log.
type Position struct {
	Epoch    string // names the numbering; not empty
	Offset   uint64 // at least 1, below 2^53
	Previous uint64 // the offset of the entry before it in this epoch; 0: there was none
}

// Entry is an entry at its place.
type Entry struct {
	Position
	Data []byte // whoever gets it may keep it, and must not change it
}

// Page is what a read has found.
type Page struct {
	Epoch   string // the log's; "" if it was never appended to
	First   uint64 // the offset of the oldest entry kept; Last+1 if there is none
	Last    uint64 // the highest offset given in this epoch; 0: none was
	Entries []Entry
}

// State is whether the engine can be reached.
type State struct {
	Up    bool
	Since time.Time
	Err   error // why it is not up
}

// Listener is what a node hears from its broker: one call at a time, in the order in which things arrive. A call must not block
// for long: nothing is read meanwhile, and what does not fit is lost, see Lapsed. data and entries may be kept.
type Listener interface {
	// Message is a message of a channel that was subscribed to.
	Message(channel string, data []byte)

	// Entries are live entries of a log that is followed, ascending among themselves.
	Entries(log string, entries []Entry)

	// Lapsed says that messages and entries may have been missed before now, and that from now on they come again.
	Lapsed()

	// Changed says that State has changed.
	Changed(s State)
}

// Holder is a Listener that counts the memory that is held for it: what waits for it, and what waits for the engine. Any goroutine
// calls it, with locks held: it must not wait, nor call the broker.
type Holder interface {
	// Hold counts bytes more, or less.
	Hold(bytes int)

	// Claim counts bytes that are not there yet, and reports whether they may be; if not, nothing is counted.
	Claim(bytes int) bool
}

// Loser is a Listener that counts what came for it and was lost, because too much waited for it. Entries of logs are not among it:
// they can be read.
type Loser interface {
	// Lost says that so many messages more were lost; Lapsed comes for them. It is called with locks held: it must not wait, nor
	// call the broker.
	Lost(messages int)
}

// Waiter is a Listener that is told why a Join that goes on has not succeeded yet, after each attempt; not any more when Join has
// returned.
type Waiter interface {
	// Waiting is called by one goroutine, and must not wait.
	Waiting(why error)
}

// free is a Holder that does not count.
type free struct{}

func (free) Hold(int)       {}
func (free) Claim(int) bool { return true }

// HolderOf is a listener's Holder, or one that counts nothing.
func HolderOf(l Listener) Holder {
	if h, ok := l.(Holder); ok {
		return h
	}
	return free{}
}

// CheckName reports what is wrong with the name of a channel or log.
func CheckName(name string) error {
	switch {
	case name == "" || len(name) > MaxName:
		return fmt.Errorf("%w: a name of %d bytes, want 1 to %d", ErrInvalid, len(name), MaxName)
	case strings.IndexByte(name, 0) >= 0:
		return fmt.Errorf("%w: name %q has a zero byte", ErrInvalid, name)
	}
	return nil
}

// CheckNames reports what is wrong with the first of them that is wrong.
func CheckNames(names ...string) error {
	for _, n := range names {
		if err := CheckName(n); err != nil {
			return err
		}
	}
	return nil
}

// CheckData reports whether a message or entry is too large.
func CheckData(data ...[]byte) error {
	for _, d := range data {
		if len(d) > MaxData {
			return fmt.Errorf("%w: %d bytes, want at most %d", ErrInvalid, len(d), MaxData)
		}
	}
	return nil
}

// CheckAppend reports what is wrong with the arguments of an Append.
func CheckAppend(log string, o AppendOptions, data ...[]byte) error {
	switch {
	case o.Keep < 1:
		return fmt.Errorf("%w: keep %d entries, want at least 1", ErrInvalid, o.Keep)
	case o.Above >= MaxOffset:
		return fmt.Errorf("%w: above %d, want less than 2^53", ErrInvalid, o.Above)
	case len(data) == 0:
		return fmt.Errorf("%w: an append of nothing", ErrInvalid)
	}
	if err := CheckName(log); err != nil {
		return err
	}
	return CheckData(data...)
}

// MaxOffset is above every offset.
const MaxOffset = 1 << 53

// Offsets follow the engine's clock: milliseconds since the beginning of 2025, and how many there were before in that one.
const (
	offsetEra  = 1_735_689_600_000
	offsetBits = 12
)

// OffsetAt is the least offset of a moment: a log's next offset is at least it, and above the last one. Brokers may use
// it to keep the promise that offsets of a later epoch are higher. It is below MaxOffset until 2094.
func OffsetAt(t time.Time) uint64 {
	ms := t.UnixMilli() - offsetEra
	if ms < 0 {
		return 1
	}
	return uint64(ms)<<offsetBits + 1
}
