package topiclog

// How Newest looks back: in steps that grow by this factor, with at most so many reads.
const (
	lookBack  = 4
	lookReads = 256
)

// Newest reads the newest records of a log, as many as q.Limit says, of those behind q.After that are for q.For, and calls done
// with them once, like Log.Read: before it returns if no Read takes longer, as with a log in memory. They are
// ascending and without a gap that it could know of but those that Lost tells; Next is the last offset there was when it began.
// Nothing waits for a read: what it has found meanwhile is all that it holds.
//
// A log is read forwards only, and its offsets have holes, so it looks at the last few offsets first and goes back further
// while what it has found is too little.
func Newest(log Log, q Query, done func(Batch)) {
	s := log.Span()
	b := Batch{Span: s, Next: max(q.After, s.Last)}
	if q.Epoch != "" && q.Epoch != s.Epoch {
		b.Err = ErrEpoch
		done(b)
		return
	}
	w := &lookback{log: log, q: q, done: done, batch: b, reads: lookReads}
	w.q.Limit.Records = max(q.Limit.Records, 1)
	w.floor, w.from, w.step = max(q.After, s.First-1), s.Last, uint64(w.q.Limit.Records)
	w.further()
}

// lookback is what Newest has found so far.
//
//	floor            at ··> upto           what is behind upto was looked at
//	  |······ | ······|······|
//	          from: where the next look ends
type lookback struct {
	log   Log
	q     Query
	done  func(Batch)
	batch Batch
	reads int // how many may follow
	floor uint64
	step  uint64

	from, at, upto uint64
	older          []Placement // of what is looked at now

	found []Placement
	full  bool // there is no room for one that is older
	lost  bool
	err   error
}

// further looks at what is before that which was looked at, or is at its end.
func (w *lookback) further() {
	if w.from <= w.floor || w.full || w.err != nil || w.reads == 0 {
		w.end()
		return
	}
	w.upto, w.at, w.older = w.from, w.floor, nil
	if w.from-w.floor > w.step {
		w.at = w.from - w.step
	}
	w.from = w.at
	w.step *= lookBack
	w.read()
}

func (w *lookback) read() {
	q := w.q
	q.After = w.at
	w.log.Read(q, w.got)
}

// got goes on with what one read has found.
func (w *lookback) got(b Batch) {
	for _, e := range b.Placements {
		if e.Offset <= w.upto {
			w.older = append(w.older, e)
		}
	}
	w.older = w.newest(w.older)
	w.lost, w.err = w.lost || b.Lost, b.Err
	stuck := b.Next <= w.at
	w.at = max(w.at, b.Next)
	w.reads--
	switch {
	case w.at >= w.upto:
		w.found = w.newest(append(w.older, w.found...))
		w.further()
	case stuck || w.err != nil || w.reads == 0: // what is behind it would be missing between the two
		w.lost = true
		w.end()
	default:
		w.read()
	}
}

func (w *lookback) end() {
	b := w.batch
	b.Placements, b.Lost = w.found, w.lost
	if len(w.found) == 0 {
		b.Err = w.err
	}
	w.done(b)
}

// newest leaves out the oldest of a list that has more than may be returned.
func (w *lookback) newest(list []Placement) []Placement {
	bytes, from := 0, len(list)
	for from > 0 && len(list)-from < w.q.Limit.Records {
		if bytes += list[from-1].Size(); bytes > w.q.Limit.Bytes && from < len(list) {
			break
		}
		from--
	}
	if n := len(list) - from; from > 0 || n == w.q.Limit.Records {
		w.full = true
	}
	return list[from:]
}
