package survey_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/lane"
	"github.com/streamweir/weir/internal/survey"
)

// loop is a loop of clients, which runs tasks on a goroutine until the test ends, or when the test says.
type loop struct {
	conns [][]*subject
	now   int64
	tasks chan base.Task
	seen  int // sockets looked at
	wg    sync.WaitGroup
}

// running is a loop that runs.
func running(t testing.TB, now int64) *loop {
	l := &loop{now: now, tasks: make(chan base.Task, 10)}
	l.wg.Add(1)
	go l.run()
	t.Cleanup(func() { close(l.tasks); l.wg.Wait() })
	return l
}

// run ends when the tasks are closed.
func (l *loop) run() {
	defer l.wg.Done()
	for t := range l.tasks {
		t.Run()
	}
}

func (l *loop) Post(t base.Task) { l.tasks <- t }
func (l *loop) Now() int64       { return l.now }
func (l *loop) Connections() int { return len(l.conns) }
func (l *loop) Each(i int, look func(survey.Subject)) {
	for _, s := range l.conns[i] {
		l.seen++
		look(s)
	}
}

// subject is a client with its lanes; the first is that of events.
type subject struct {
	id, namespace, principal, address string

	loop   *loop
	names  []string
	lanes  []*lane.Lane
	past   uint64
	viewed int
}

// come adds a client with a lane of each of these topics, on a connection of its own.
func (l *loop) come(namespace, principal string, topics ...string) *subject {
	s := &subject{id: fmt.Sprint("s", len(l.conns)), namespace: namespace, principal: principal, loop: l}
	s.address = fmt.Sprint("10.0.0.", len(l.conns)%3)
	for _, name := range append([]string{""}, topics...) {
		one := new(lane.Lane)
		one.Init(&lane.Class{Policy: lane.Policy{Overflow: base.DropOldest, MaxMessages: 4, MaxBytes: 1 << 20, Weight: 1}}, base.Plain, false)
		s.names, s.lanes = append(s.names, name), append(s.lanes, one)
	}
	l.conns = append(l.conns, []*subject{s})
	return s
}

// frame is the encoder of a message of that many bytes.
type frame int

func (n frame) Encode(*base.Message, base.Form) *base.Frame { return base.RawFrame(make([]byte, n)) }

// offer gives the i-th lane a message of that size, published at that time.
func (s *subject) offer(i, size int, at int64) {
	m := base.NewMessage(frame(size))
	m.At = at
	c := s.lanes[i].Class()
	it := c.Hold(m)
	s.lanes[i].Offer(it, at)
	c.Release(it)
}

func (s *subject) Is(id, namespace, principal string) bool {
	return (id == "" || id == s.id) && (namespace == "" || namespace == s.namespace) && (principal == "" || principal == s.principal)
}

func (s *subject) TopicLanes() int { return len(s.lanes) - 1 }

func (s *subject) Any(match func(topic string) bool) bool {
	return slices.ContainsFunc(s.names[1:], match)
}

func (s *subject) Measure(look func(survey.Held)) {
	for i, l := range s.lanes {
		look(survey.Held{Lane: l, Topic: s.names[i], Age: survey.Age(l, s.loop.now), Waits: l.Depth() > 0})
	}
}

func (s *subject) PastDrops() uint64 { return s.past }

func (s *subject) Name() string { return s.id }

func (s *subject) View(lanes int) survey.Client {
	s.viewed++
	v := survey.Client{ID: s.id, Namespace: s.namespace, Principal: s.principal, Address: s.address}
	for i, l := range s.lanes {
		v.AddLane(survey.LaneOf(l, s.names[i], survey.Age(l, s.loop.now), s.loop.now))
	}
	v.LeaveOut(lanes)
	return v
}
