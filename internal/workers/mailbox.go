package workers

import (
	"errors"
	"sync"
	"time"
)

const (
	defaultMailboxJobs  = 128
	defaultMailboxBytes = 1 << 20
)

// MailboxLimits bounds what waits for one socket's handlers, the running job included. Mailboxes share it.
type MailboxLimits struct {
	Jobs  int // 0 means 128
	Bytes int // 0 means 1 MiB
	// Hold is told of the bytes of a job and JobBytes when it is accepted, and of as many negative ones when it has run or
	// is dropped. It must not block and is called concurrently. Nil: nobody counts them.
	Hold func(n int)
}

// JobBytes is what a job that waits takes besides the bytes it keeps.
const JobBytes = 400

func (l *MailboxLimits) hold(bytes int) {
	if l.Hold != nil {
		l.Hold(bytes + JobBytes)
	}
}

func (l *MailboxLimits) give(bytes int) {
	if l.Hold != nil {
		l.Hold(-bytes - JobBytes)
	}
}

// withDefaults returns the limits complete: themselves, if they are.
func (l *MailboxLimits) withDefaults() *MailboxLimits {
	if l.Jobs > 0 && l.Bytes > 0 {
		return l
	}
	full := *l
	if full.Jobs <= 0 {
		full.Jobs = defaultMailboxJobs
	}
	if full.Bytes <= 0 {
		full.Bytes = defaultMailboxBytes
	}
	return &full
}

// Verdict is what Push says of a job and of the room behind it.
type Verdict uint8

// The answers of Push.
const (
	Accepted     Verdict = iota // there is room for more
	AcceptedFull                // accepted, but the limit is reached: stop reading the socket until Drained
	Refused                     // not accepted: the workers are closed
	NoRoom                      // not accepted: as many jobs wait for the other pool as may
)

// Owner owns a Mailbox.
type Owner interface {
	// Drained is called once for every AcceptedFull or run of them, when the mailbox has fallen below half of its
	// limits: reading may go on. It is called on a worker, between two jobs, with no lock held, and beside Push: it
	// may come before the Push it answers has returned, or when a later one has filled the mailbox again, which a
	// Drained of its own will follow.
	Drained(m *Mailbox)
	// Ready reports whether the next job may begin. It is asked on a worker before each, with no lock held, and must not
	// block. If it says no the mailbox waits, without a worker, until Resume, which the owner calls once that has changed:
	// also where it has before the mailbox knows of the no.
	Ready(m *Mailbox) bool
}

// Refusable is a job for another pool than the mailbox's own: there may be no room for it when its turn comes.
type Refusable interface {
	Job
	// Refused is called in place of Run, on a worker of either pool or in Resume; why is ErrFull or ErrClosed. It must not block.
	Refused(why error)
}

// Mailbox is the serial queue of one socket on top of a Pool, its home: its jobs run in the order of Push and never two at
// once, while other sockets' jobs run beside them. After a few short jobs, or one that takes long, it steps back behind
// the others that wait for a worker, so a busy socket does not hold one.
//
// A job may be for another pool, one whose workers may hang: the mailbox then waits there for its turn, and comes back:
//
//	jobs     a b | X | c d        a, b, c, d on a worker of its home, X on one of the other pool
//
// While its owner is not Ready the mailbox waits where it is, with no place in a queue:
//
//	Ready says no ── wait ──> waits ── Resume ──> a turn
//	      └─────── Resume came first: woken ───────^
//
// It holds no goroutine and, while empty, nothing but itself; an owner that pushes from one goroutine may let go of it
// when it is Idle, and begin a new one with its next job. It must not be copied after Init. Everything but Init may be
// called concurrently; the order of concurrent Pushes is theirs to settle.
type Mailbox struct {
	home   *Pool
	at     *Pool // whose turn is queued or running; changed between turns
	slow   bool  // a job of its last turn computed for long; as at
	owner  Owner // nil: always ready, and nobody hears of Drained
	limits *MailboxLimits

	mu          sync.Mutex
	scheduled   bool    // a turn is queued or running
	full        bool    // AcceptedFull was said, Drained not yet
	waits       bool    // until Resume: its owner is not Ready
	woken       bool    // Resume came while it did not wait
	jobs        int32   // held: waiting and running
	bytes       int     // of them
	first, last *letter // waiting jobs
}

// letter is a job on the way through a Mailbox.
type letter struct {
	next  *letter
	job   Job
	pool  *Pool // where it runs
	bytes int
}

var letters = sync.Pool{New: func() any { return new(letter) }}

// Init makes m a mailbox whose home is w; owner may be nil: its jobs never wait, and nobody hears of Drained. It must come
// before any Push. limits must not change afterwards.
func (m *Mailbox) Init(w *Pool, limits *MailboxLimits, owner Owner) {
	m.home, m.limits, m.owner = w, limits.withDefaults(), owner
}

// Push appends job, which keeps bytes of memory until it has run. It never blocks and takes the job even beyond the
// limits: the caller has it in hand and must not lose it, but stops reading at AcceptedFull. So a mailbox exceeds its
// limits by no more than what its owner had read already. After Close it refuses; while Close waits, it takes jobs only
// as long as earlier ones are left.
func (m *Mailbox) Push(job Job, bytes int) Verdict { return m.push(m.home, job, bytes) }

// PushTo is Push for a job that runs on a worker of w. Where its turn comes at once and there is no room for it, that is
// the answer; later it is told by itself.
func (m *Mailbox) PushTo(w *Pool, job Refusable, bytes int) Verdict { return m.push(w, job, bytes) }

func (m *Mailbox) push(w *Pool, job Job, bytes int) Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.openLocked(w); errors.Is(err, ErrFull) {
		return NoRoom
	} else if err != nil {
		return Refused
	}
	w.pending.Add(1)
	m.appendLocked(w, job, bytes)
	if int(m.jobs) >= m.limits.Jobs || m.bytes >= m.limits.Bytes {
		m.full = true
		return AcceptedFull
	}
	return Accepted
}

// Held is what the mailbox keeps in memory: jobs waiting and running, and their bytes.
func (m *Mailbox) Held() (jobs, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int(m.jobs), m.bytes
}

// Idle reports whether all that was pushed has been run or dropped, and the turn that did so is over: until the next
// Push no job of m runs and Drained is not called, nor is a call of it under way.
func (m *Mailbox) Idle() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return !m.scheduled && m.first == nil
}

// Waits reports whether jobs wait for their owner to be Ready, and not for a worker.
func (m *Mailbox) Waits() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.waits
}

// Resume goes on with a mailbox whose owner was not Ready and is now. It may be called without need: then Ready is asked once
// more. It does not block.
func (m *Mailbox) Resume() {
	m.mu.Lock()
	m.woken = !m.waits
	due := m.waits && !m.scheduled
	m.waits = false
	m.scheduled = m.scheduled || due
	m.mu.Unlock()
	if due {
		(*visit)(m).end()
	}
}

// wait has the mailbox wait for Resume with what it has, unless that has come already.
func (m *Mailbox) wait() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waits = !m.woken && m.first != nil
	m.woken = false
}

// openLocked sees to it that a turn is queued or running, at w if none was and the owner may be ready; a worker that takes
// it at once waits for mu. Lock order: Mailbox.mu, Pool.mu.
func (m *Mailbox) openLocked(w *Pool) error {
	if m.scheduled || m.waits {
		if m.home.dropped.Load() {
			return ErrClosed
		}
		return nil
	}
	m.at = w
	err := w.enter((*visit)(m))
	m.scheduled = err == nil
	return err
}

func (m *Mailbox) appendLocked(w *Pool, job Job, bytes int) {
	l := letters.Get().(*letter)
	l.job, l.pool, l.bytes = job, w, bytes
	if m.last == nil {
		m.first = l
	} else {
		m.last.next = l
	}
	m.last = l
	m.jobs++
	m.bytes += bytes
	m.limits.hold(bytes)
}

// take removes the oldest waiting job if it is for w; what it holds stays counted until finish.
func (m *Mailbox) take(w *Pool) (job Job, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.first
	if l == nil || l.pool != w {
		return nil, 0
	}
	if m.first = l.next; m.first == nil {
		m.last = nil
	}
	job, bytes = l.job, l.bytes
	*l = letter{}
	letters.Put(l)
	return job, bytes
}

// finish books a job as gone and tells the owner when that makes room.
func (m *Mailbox) finish(bytes int) {
	m.mu.Lock()
	m.jobs--
	m.bytes -= bytes
	m.limits.give(bytes)
	drained := m.full && 2*int(m.jobs) < m.limits.Jobs && 2*m.bytes < m.limits.Bytes
	if drained {
		m.full = false
	}
	m.mu.Unlock()
	if drained && m.owner != nil {
		m.owner.Drained(m)
	}
}

// discard drops the waiting jobs; Close has counted them.
func (m *Mailbox) discard() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for l := m.first; l != nil; l = l.next {
		m.jobs--
		m.bytes -= l.bytes
		m.limits.give(l.bytes)
		l.pool.pending.Add(-1)
	}
	m.first, m.last = nil, nil
	m.scheduled, m.waits = false, false
}

// refuse takes the oldest waiting job, which is for w, and tells it that there is no place for it.
func (m *Mailbox) refuse(w *Pool, why error) {
	job, bytes := m.take(w)
	w.pending.Add(-1)
	if r, ok := job.(Refusable); ok {
		r.Refused(why)
	}
	m.finish(bytes)
}

// visit is a Mailbox at a Pool: in its queue, or having its turn on a worker.
type visit Mailbox

func (t *visit) mailbox() *Mailbox { return (*Mailbox)(t) }

// A turn goes on for up to turnJobs or turnTime while others wait: what the jobs of one batch answer then goes out in one
// write, which costs more than most handlers (BenchmarkMailboxTurns).
const (
	turnJobs = 16
	turnTime = 200 * time.Microsecond
)

// run works off jobs, on the worker of that seat, until the mailbox is empty, the next one is for another pool, or its turn is
// over and somebody else waits for the worker.
func (t *visit) run(s *seat) {
	defer t.end()
	defer func() { t.slow = s.heavy.Load() == s.since.Load() }()
	w, began := t.at, time.Now()
	for n := 1; !w.dropped.Load() && t.deliver(w); n++ {
		if w.queued.Load() > 0 && (n >= turnJobs || time.Since(began) > turnTime) {
			return
		}
	}
}

// deliver runs the oldest job; false when there is none for w, or the owner is not Ready. The deferred calls here and in run
// keep the mailbox going also when a job ends its goroutine with runtime.Goexit.
func (t *visit) deliver(w *Pool) bool {
	m := t.mailbox()
	if m.owner != nil && !m.owner.Ready(m) {
		m.wait()
		return false
	}
	job, bytes := m.take(w)
	if job == nil {
		return false
	}
	defer m.finish(bytes)
	w.execute(job)
	return true
}

// end queues the next turn, where the next job runs, if there is anything left for one.
func (t *visit) end() {
	m := t.mailbox()
	for w := m.next(); w != nil; w = m.next() {
		if w == m.home {
			if !w.reenter(t) {
				m.discard()
			}
			return
		}
		err := w.enter(t)
		if err == nil {
			return
		}
		m.refuse(w, err)
	}
}

// next is the pool of the oldest waiting job, where the next turn is to be; nil if none waits, or all wait for the owner.
func (m *Mailbox) next() *Pool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.scheduled = m.first != nil && !m.waits; !m.scheduled {
		return nil
	}
	m.at = m.first.pool
	return m.at
}

// drop is the end of a turn in the queue of a pool that has given up: of its home, the end of all that waits.
func (t *visit) drop(w *Pool) {
	if m := t.mailbox(); w == m.home {
		m.discard()
		return
	}
	t.end()
}
