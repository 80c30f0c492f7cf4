package cluster

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Memory is a broker in this process: it joins servers of one program, in tests above all. What it keeps is gone with it, and is
// bounded by what is appended with: AppendOptions.Keep. Stop, Start, Cut and Forget are the faults of an engine.
type Memory struct {
	mu      sync.Mutex
	members map[*memoryMember]bool
	logs    map[string]*memoryLog
	stopped bool
	started chan struct{} // closed by Start
	epochs  uint64
}

// memoryLog is one log.
type memoryLog struct {
	epoch    string
	last     uint64
	previous uint64
	entries  []Entry
}

// NewMemory returns a broker without members.
func NewMemory() *Memory {
	return &Memory{members: make(map[*memoryMember]bool), logs: make(map[string]*memoryLog)}
}

// errStopped is why members are not up.
var errStopped = errors.New("it was stopped")

// Stop makes the engine unreachable; what it keeps stays.
func (m *Memory) Stop() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.stopped {
		return
	}
	m.stopped, m.started = true, make(chan struct{})
	for k := range m.members {
		k.queue.Clear()
		k.turnLocked(State{Since: time.Now(), Err: errStopped})
	}
}

// Start makes it reachable again.
func (m *Memory) Start() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.stopped {
		return
	}
	m.stopped = false
	close(m.started)
	for k := range m.members {
		k.turnLocked(State{Up: true, Since: time.Now()})
		k.queue.Lapsed()
	}
}

// Cut breaks all connections for a moment: what is on its way to members is lost.
func (m *Memory) Cut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for k := range m.members {
		k.queue.Clear()
		if !m.stopped {
			k.queue.Lapsed()
		}
	}
}

// Forget loses all logs, as an engine that comes back without its data.
func (m *Memory) Forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.logs)
}

// Join implements Broker. With a stopped one it waits for Start.
func (m *Memory) Join(ctx context.Context, node string, l Listener) (Member, error) {
	if err := CheckName(node); err != nil {
		return nil, err
	}
	k := &memoryMember{of: m, channels: make(map[string]bool), logs: make(map[string]bool)}
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.stopped {
		if err := m.waitLocked(ctx, l); err != nil {
			return nil, err
		}
	}
	k.state = State{Up: true, Since: time.Now()}
	m.members[k] = true
	k.queue = NewQueue(l)
	return k, nil
}

// waitLocked waits for Start, without the lock.
func (m *Memory) waitLocked(ctx context.Context, l Listener) error {
	started := m.started
	m.mu.Unlock()
	defer m.mu.Lock()
	if w, ok := l.(Waiter); ok {
		w.Waiting(errStopped)
	}
	select {
	case <-started:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", ErrAway, ctx.Err())
	}
}

// memoryMember is a Member of a Memory. What it wishes is guarded by the broker's lock.
type memoryMember struct {
	of       *Memory
	queue    *Queue
	channels map[string]bool
	logs     map[string]bool
	state    State
	closed   bool
}

// turnLocked changes the state.
func (k *memoryMember) turnLocked(s State) {
	k.state = s
	k.queue.Changed(s)
}

// lock takes the broker's lock, if the member may call it.
func (k *memoryMember) lock() error {
	k.of.mu.Lock()
	switch {
	case k.closed:
		k.of.mu.Unlock()
		return ErrClosed
	case k.of.stopped:
		k.of.mu.Unlock()
		return fmt.Errorf("%w: %w", ErrAway, errStopped)
	}
	return nil
}

// Publish implements Member.
func (k *memoryMember) Publish(ctx context.Context, channel string, data []byte) error {
	if err := errors.Join(ctx.Err(), CheckName(channel), CheckData(data)); err != nil {
		return err
	}
	if err := k.lock(); err != nil {
		return err
	}
	defer k.of.mu.Unlock()
	data = slices.Clone(data)
	for to := range k.of.members {
		if to.channels[channel] {
			to.queue.Message(channel, data)
		}
	}
	return nil
}

// Subscribe implements Member.
func (k *memoryMember) Subscribe(ctx context.Context, channels ...string) error {
	return k.wish(ctx, k.channels, channels)
}

// Follow implements Member.
func (k *memoryMember) Follow(ctx context.Context, logs ...string) error {
	return k.wish(ctx, k.logs, logs)
}

func (k *memoryMember) wish(ctx context.Context, wishes map[string]bool, names []string) error {
	if err := CheckNames(names...); err != nil {
		return err
	}
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	if k.closed {
		return ErrClosed
	}
	for _, n := range names {
		wishes[n] = true
	}
	if k.of.stopped {
		return fmt.Errorf("%w: %w", ErrAway, errStopped)
	}
	return ctx.Err()
}

// Unsubscribe implements Member.
func (k *memoryMember) Unsubscribe(channels ...string) { k.unwish(k.channels, channels) }

// Unfollow implements Member.
func (k *memoryMember) Unfollow(logs ...string) { k.unwish(k.logs, logs) }

func (k *memoryMember) unwish(wishes map[string]bool, names []string) {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	for _, n := range names {
		delete(wishes, n)
	}
}

// Append implements Member.
func (k *memoryMember) Append(ctx context.Context, log string, o AppendOptions, data ...[]byte) ([]Position, error) {
	if err := CheckAppend(log, o, data...); err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrAway, err)
	}
	if err := k.lock(); err != nil {
		return nil, err
	}
	defer k.of.mu.Unlock()
	l := k.of.logLocked(log)
	var at []Position
	for _, d := range data {
		at = append(at, l.append(o, slices.Clone(d)))
	}
	live := slices.Clone(l.entries[len(l.entries)-min(len(at), len(l.entries)):])
	for to := range k.of.members {
		if to.logs[log] {
			to.queue.Entries(log, live)
		}
	}
	return at, nil
}

// logLocked is a log, made if it is not there.
func (m *Memory) logLocked(name string) *memoryLog {
	l := m.logs[name]
	if l == nil {
		m.epochs++
		l = &memoryLog{epoch: fmt.Sprintf("%x-%x", time.Now().UnixNano(), m.epochs)}
		m.logs[name] = l
	}
	return l
}

func (l *memoryLog) append(o AppendOptions, data []byte) Position {
	at := Position{l.epoch, max(OffsetAt(time.Now()), l.last+1, o.Above+1), l.previous}
	l.last, l.previous = at.Offset, at.Offset
	l.entries = append(l.entries, Entry{at, data})
	if gone := len(l.entries) - o.Keep; gone > 0 {
		l.entries = slices.Delete(l.entries, 0, gone)
	}
	return at
}

// Read implements Member.
func (k *memoryMember) Read(ctx context.Context, log string, after uint64, most Limit) (Page, error) {
	if err := errors.Join(ctx.Err(), CheckName(log)); err != nil {
		return Page{}, err
	}
	if err := k.lock(); err != nil {
		return Page{}, err
	}
	defer k.of.mu.Unlock()
	l := k.of.logs[log]
	if l == nil {
		return Page{First: 1}, nil
	}
	p := Page{Epoch: l.epoch, First: l.last + 1, Last: l.last}
	if len(l.entries) > 0 {
		p.First = l.entries[0].Offset
	}
	bytes := 0
	for _, e := range l.entries {
		if e.Offset <= after {
			continue
		}
		if bytes += len(e.Data); len(p.Entries) > 0 && (len(p.Entries) >= most.Entries || bytes > most.Bytes) {
			break
		}
		p.Entries = append(p.Entries, e)
	}
	return p, nil
}

// State implements Member.
func (k *memoryMember) State() State {
	k.of.mu.Lock()
	defer k.of.mu.Unlock()
	return k.state
}

// Close implements Member.
func (k *memoryMember) Close() {
	k.of.mu.Lock()
	k.closed = true
	delete(k.of.members, k)
	k.of.mu.Unlock()
	k.queue.Close()
}
