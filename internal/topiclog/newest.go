package topiclog

// How Newest looks back: in steps that grow by this factor, with at most so many reads.
const (
	lookBack  = 4
	lookReads = 256
)

// Newest reads the newest records of a log, as many as q.Limit says, of those behind q.After that are for q.For. They are
// ascending and without a gap that it could know of but those that Lost tells; Next is the last offset there was when it began. It waits for each Read: with a log in memory for none.
//
// A log is read forwards only, and its offsets have holes, so it looks at the last few offsets first and goes back further
// while what it has found is too little.
func Newest(log Log, q Query) Batch {
	s := log.Span()
	b := Batch{Span: s, Next: max(q.After, s.Last)}
	if q.Epoch != "" && q.Epoch != s.Epoch {
		b.Err = ErrEpoch
		return b
	}
	w := lookback{log: log, q: q, reads: lookReads}
	w.q.Limit.Records = max(q.Limit.Records, 1)
	floor, upto, step := max(q.After, s.First-1), s.Last, uint64(w.q.Limit.Records)
	for upto > floor && !w.full && w.err == nil && w.reads > 0 {
		after := floor
		if upto-floor > step {
			after = upto - step
		}
		w.look(after, upto)
		upto, step = after, step*lookBack
	}
	b.Placements, b.Lost = w.found, w.lost
	if len(w.found) == 0 {
		b.Err = w.err
	}
	return b
}

// lookback is what Newest has found so far.
type lookback struct {
	log   Log
	q     Query
	reads int // how many may follow
	found []Placement
	full  bool // there is no room for one that is older
	lost  bool
	err   error
}

// look puts what is between two offsets before what was found.
func (w *lookback) look(after, upto uint64) {
	var older []Placement
	at := after
	for ; at < upto && w.err == nil && w.reads > 0; w.reads-- {
		q := w.q
		q.After = at
		read := make(chan Batch, 1)
		w.log.Read(q, func(b Batch) { read <- b })
		b := <-read
		for _, e := range b.Placements {
			if e.Offset <= upto {
				older = append(older, e)
			}
		}
		older = w.newest(older)
		w.lost, w.err = w.lost || b.Lost, b.Err
		if b.Next <= at {
			break
		}
		at = b.Next
	}
	if at < upto { // what is behind it would be missing between the two
		w.reads, w.lost = 0, true
		return
	}
	w.found = w.newest(append(older, w.found...))
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
