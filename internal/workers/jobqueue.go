package workers

// jobQueue is visits that wait for a worker: a first-in-first-out ring that grows by doubling and gives its memory back
// when it has run empty after a burst. It is not safe for concurrent use.
type jobQueue struct {
	ring []*visit // length 0 or a power of two
	head int
	n    int
}

const (
	minJobRing  = 16
	keepJobRing = 1024 // an empty ring up to this size (8 KiB) is kept for the next job
)

func (q *jobQueue) len() int { return q.n }

func (q *jobQueue) push(job *visit) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = job
	q.n++
}

func (q *jobQueue) pop() (*visit, bool) {
	if q.n == 0 {
		return nil, false
	}
	job := q.ring[q.head]
	q.ring[q.head] = nil
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
	if q.n == 0 && len(q.ring) > keepJobRing {
		*q = jobQueue{}
	}
	return job, true
}

func (q *jobQueue) grow() {
	ring := make([]*visit, max(minJobRing, 2*len(q.ring)))
	n := copy(ring, q.ring[q.head:])
	copy(ring[n:], q.ring[:q.head])
	q.ring, q.head = ring, 0
}
