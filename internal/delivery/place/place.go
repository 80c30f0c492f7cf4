// Package place is where a lane that is behind stands in its topic's log (docs/adr/0024-spill.md): what it may be given
// next, what is lost for certain, and when it is behind no more. It is pure.
package place

import "github.com/streamweir/weir/internal/topiclog"

// Place is how far a lane has read. Offsets up to At are done with: given to the lane, not for it, or gone.
//
//	log     1 2 3 4 5 6 7 8 9 …
//	            ^At     ^live       what the stream has given the lane last: its user knows
//	lane    what is up to At and not written
//
// What is behind At and not behind live waits in the log; what is behind live comes by the stream.
type Place struct {
	At uint64

	since   uint64 // records up to it were there before the lane: they are offered when they are read
	needs   int    // bytes of the record that had no room; 0: not known
	reading bool
	lost    bool // something of it was gone from the log, see Read
	old     bool // because it was too old
}

// Begin is a lane that has been given all up to an offset, and of which everything behind since is counted.
func Begin(at, since uint64) Place { return Place{At: at, since: since} }

// Space is what a lane may hold, and what it may take now.
type Space struct {
	MaxMessages, MaxBytes int
	Messages, Bytes       int
}

// Low reports whether the lane is half empty.
func (r Space) Low() bool { return 2*r.Messages >= r.MaxMessages && 2*r.Bytes >= r.MaxBytes }

// Ask says how much may be read now: false if a read is under way, or the lane has not drained so far that one is worth it.
// After true comes Read, or Missed.
func (p *Place) Ask(r Space) (topiclog.Limit, bool) {
	if p.reading || !r.Low() || r.Bytes < p.needs || r.Messages < 1 {
		return topiclog.Limit{}, false
	}
	p.reading = true
	return topiclog.Limit{Records: r.Messages, Bytes: r.Bytes}, true
}

// Reading reports whether a read is under way.
func (p *Place) Reading() bool { return p.reading }

// Missed ends a read that has failed.
func (p *Place) Missed() { p.reading = false }

// Loss is messages that will not come any more.
type Loss struct {
	Messages  uint64 // of those counted
	Older     uint64 // and of what was there before the lane: all offsets of what was too old, of damage, and where offsets say nothing, at least one
	Explained bool   // the log has said that something is gone
	Old       bool   // by its retention, not by damage
}

// Read looks at what a read has found, before any of it is given to the lane. live is the offset given to the lane last, and
// waiting how many messages are counted that were not read. It returns what of those is lost for certain: at most one for each
// offset can still come, and where offsets are sparse any number, until all is read.
func (p *Place) Read(b *topiclog.Batch, waiting, live uint64) (l Loss) {
	if b.Lost {
		p.lost = true
		p.old = p.At < b.Gave
		if b.LostAfter < p.since {
			l.Older = 1
			if p.old {
				n, _ := b.Between(p.At, min(b.Gave, p.since))
				l.Older = max(n, 1)
			}
		}
	}
	found := uint64(0)
	for i := range b.Placements {
		if o := b.Placements[i].Offset; o > max(p.At, p.since) && o <= live {
			found++
		}
	}
	most := found // that can still come
	if n, known := b.Between(max(b.Next, p.since), live); known {
		most += n
	} else {
		most = waiting // nobody can tell before all is read
	}
	if b.Lost && len(b.Placements) > 0 { // what is gone is told once, whether there is room for the first that is left or not
		p.At = max(p.At, min(b.Placements[0].Offset-1, live))
	}
	l.Explained, l.Old = p.lost, p.old
	if waiting > most {
		l.Messages = waiting - most
	}
	return l
}

// Counted reports whether the lane has counted a record when it was published.
func (p *Place) Counted(offset uint64) bool { return offset > p.since }

// Given says that a record was given to the lane.
func (p *Place) Given(offset uint64) { p.At, p.needs = max(p.At, offset), 0 }

// Stuck ends a read of whose records one had no room: so many bytes.
func (p *Place) Stuck(needs int) { p.reading, p.needs = false, needs }

// Done ends a read all of whose records were given, and which has looked at everything up to next. It reports whether the
// lane is behind no more.
func (p *Place) Done(next, live uint64) (met bool) {
	p.reading = false
	p.At = max(p.At, min(next, live))
	return p.At >= live
}
