package topiclog

import "slices"

// Record is one publication, before it has a wire form and apart from any. It never changes once it was appended: the
// log, its readers and the deliveries share it.
type Record struct {
	Namespace string
	Topic     string // the concrete name
	ID        string // the message id
	Key       string // the coalescing key; "" = none

	// Wall-clock times, in nanoseconds since 1970: a record may outlive the process. Expires 0 = never.
	At, Expires int64

	To      Recipient // the zero Recipient is every subscriber
	Payload []byte    // the record's own: JSON, or with Binary any bytes
	Binary  bool

	// Volatile records take a place in the order and are not kept. A reader does not learn of them: the Previous of the
	// record behind names the one before.
	Volatile bool

	// Missed is a volatile record that a reader should have got: it was to be kept, and its keeper did not take it.
	// Readers learn that something is missing (Batch.Lost): the Previous of the record behind names it.
	Missed bool
}

// recordOverhead is what a record holds besides its texts and its payload, in bytes.
const recordOverhead = 256

// Size is what the record counts against Limits.Bytes: a little more than it holds in memory.
func (r *Record) Size() int {
	return recordOverhead + len(r.Namespace) + len(r.Topic) + len(r.ID) + len(r.Key) + r.To.size() + len(r.Payload)
}

// Recipient is whom a record is for. Of the fields that are set all must hold.
type Recipient struct {
	Socket    string // a Socket.IO id
	Principal string
	Room      string // subscribers of the topic who are in this room
}

// Everybody reports whether the record is for all subscribers.
func (to *Recipient) Everybody() bool { return *to == Recipient{} }

func (to *Recipient) size() int { return len(to.Socket) + len(to.Principal) + len(to.Room) }

// Reader is who reads: a subscriber, as far as recipients are concerned.
type Reader struct {
	Socket    string
	Principal string
	Rooms     []string // a socket's id need not be listed as its own room
}

// Gets reports whether a record with that recipient is for the reader.
func (r *Reader) Gets(to *Recipient) bool {
	return (to.Socket == "" || to.Socket == r.Socket) &&
		(to.Principal == "" || to.Principal == r.Principal) &&
		(to.Room == "" || to.Room == r.Socket || slices.Contains(r.Rooms, to.Room))
}

// Position is the place of a record in the order of its topic.
type Position struct {
	Epoch    string // names the numbering: offsets of two epochs cannot be compared
	Offset   uint64 // from 1, higher than those before
	Previous uint64 // the offset of the record before, volatile ones left out but for those missed; 0: there was none
}

// Placement is a record at its place.
//
// One without a record is a breach, which a late keeper delivers in its place in the order: what comes next does not follow on what
// was delivered before. Either records behind Previous and up to Offset are gone that were not delivered: it is not known how
// many, but one at least. Or Epoch is another one than before: of what the old one had nothing can be read any more.
type Placement struct {
	*Record
	Position
}

// Breach reports whether there is no record.
func (p *Placement) Breach() bool { return p.Record == nil }
