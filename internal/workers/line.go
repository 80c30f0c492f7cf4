package workers

// line is visits that wait for a worker. Where it keeps them apart, those of mailboxes whose last job computed for long stand in a
// queue of their own, and are never all that runs:
//
//	short  [ a b c ]   any worker
//	slow   [ X Y Z ]   at most `most` workers at once; one at least has its turn where none runs
//
// So a socket whose events compute waits behind others of its kind, and not they behind it. Pool.mu guards it.
type line struct {
	apart  bool
	most   int // slow visits that may be run at once
	short  jobQueue
	slow   jobQueue
	slowly int  // slow visits that are run
	turn   bool // the last visit taken was slow
}

func (l *line) len() int { return l.short.len() + l.slow.len() }

func (l *line) isSlow(v *visit) bool { return l.apart && v.slow }

func (l *line) push(v *visit) {
	if l.isSlow(v) {
		l.slow.push(v)
		return
	}
	l.short.push(v)
}

// may reports whether a visit may be run now.
func (l *line) may(v *visit) bool { return !l.isSlow(v) || l.slowly < l.most }

// pop takes the next visit that may be run; false if there is none. Its caller begins it.
func (l *line) pop() (*visit, bool) {
	due := l.slow.len() > 0 && l.slowly < l.most && (l.short.len() == 0 || (l.slowly == 0 && !l.turn))
	if l.turn = due; due {
		return l.slow.pop()
	}
	return l.short.pop()
}

// begin counts a visit that is run from now on, and reports whether it is slow: what end is told.
func (l *line) begin(v *visit) (slow bool) {
	if !l.isSlow(v) {
		return false
	}
	l.slowly++
	return true
}

// end counts one that was begun.
func (l *line) end(slow bool) {
	if slow {
		l.slowly--
	}
}

// empty takes all that wait.
func (l *line) empty() (all [2]jobQueue) {
	all = [2]jobQueue{l.short, l.slow}
	l.short, l.slow = jobQueue{}, jobQueue{}
	return all
}
