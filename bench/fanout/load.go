package main

import (
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/streamweir/weir/bench/internal/rig"
	"github.com/streamweir/weir/bench/internal/swarm"
)

// patience bounds the wait for what is outstanding when the loop ends.
const patience = 20 * time.Second

var tick = swarm.NewTopic("tick")

// job is what the load process is to do.
type job struct {
	Address string        `json:"address"`
	PID     int           `json:"pid"` // of the server
	Clients int           `json:"clients"`
	Window  int           `json:"window"` // messages outstanding
	Size    int           `json:"size"`   // bytes of a payload
	Warm    time.Duration `json:"warm"`
	Measure time.Duration `json:"measure"`
}

// result is one run. Deliveries and CPU are of the measured time, the book is of all messages.
type result struct {
	Seconds       float64 `json:"seconds"`
	Deliveries    int64   `json:"deliveries"`
	PerSecond     float64 `json:"deliveriesPerSecond"`
	CPUPerMillion float64 `json:"serverCPUSecondsPerMillion"`
	ServerCPU     float64 `json:"serverCPUs"` // CPUs' worth of time; 1 is a full core
	LoadCPU       float64 `json:"loadCPUs"`
	ServerRSS     int64   `json:"serverResidentBytes"`
	Published     int64   `json:"published"`
	Booked        int     `json:"clientsWithEveryMessageInOrder"`
}

// loop is the closed loop: Window messages are outstanding, and when every client has one the next is published.
type loop struct {
	job       job
	swarm     *swarm.Swarm
	publisher *swarm.Client

	missing []atomic.Int32 // clients without message n, by n modulo Window
	done    chan struct{}  // one for every message all clients have; has room for all that can be outstanding
	all     atomic.Int64   // messages all clients have
	next    []atomic.Int64 // by client: the message it is to get next
	stop    chan struct{}
}

// load runs a job in this process.
func load(j job) (result, error) {
	s, err := swarm.Gather(j.Address, j.Clients, func(int) swarm.Options { return swarm.Options{} }, tick)
	if err != nil {
		return result{}, err
	}
	defer s.Close() //nolint:errcheck // what a reader met is asked for below
	l := &loop{
		job: j, swarm: s, missing: make([]atomic.Int32, j.Window), next: make([]atomic.Int64, j.Clients),
		done: make(chan struct{}, j.Window), stop: make(chan struct{}),
	}
	for i := range l.missing {
		l.missing[i].Store(int32(j.Clients))
	}
	publisher, err := swarm.Gather(j.Address, 1, func(int) swarm.Options { return swarm.Options{} })
	if err != nil {
		return result{}, err
	}
	defer publisher.Close() //nolint:errcheck // a refused publish shows as a message that does not arrive
	publisher.Read(0, refused)
	l.publisher = publisher.Clients[0]
	for i := range s.Clients {
		s.Read(i, l.reader(i))
	}
	r, err := l.run()
	if perr := publisher.Err(); perr != nil {
		return r, fmt.Errorf("publisher: %w", perr)
	}
	return r, err
}

// refused takes what the publisher is told: nothing, as it asks for no answer, or that a publish was refused.
func refused(text []byte) error { return fmt.Errorf("refused: %.200q", text) }

// reader returns what client i does with a message: it must be the next one.
func (l *loop) reader(i int) func([]byte) error {
	return func(text []byte) error {
		m, ok := tick.Parse(text)
		if !ok {
			return fmt.Errorf("not a delivery: %.200q", text)
		}
		if want := l.next[i].Load(); int64(m.N) != want {
			return fmt.Errorf("got message %d, want %d", m.N, want)
		}
		l.next[i].Store(int64(m.N) + 1)
		if slot := &l.missing[m.N%l.job.Window]; slot.Add(-1) == 0 {
			slot.Store(int32(l.job.Clients)) // before done: nobody gets message n+Window before this
			l.all.Add(1)
			l.done <- struct{}{}
		}
		return nil
	}
}

// run publishes until the time is over and checks the book.
func (l *loop) run() (result, error) {
	published := make(chan int64, 1)
	failed := make(chan error, 1)
	go func() {
		n, err := l.publish()
		published <- n
		failed <- err
	}()
	time.Sleep(l.job.Warm)
	r, err := l.measure()
	close(l.stop)
	r.Published = <-published
	if perr := <-failed; perr != nil {
		return r, fmt.Errorf("publish: %w", perr)
	}
	if err != nil {
		return r, err
	}
	r.Booked, err = l.book(r.Published)
	return r, err
}

// publish keeps Window messages outstanding until stop, then waits for the last of them; it returns how many there were.
func (l *loop) publish() (int64, error) {
	n, room := 0, l.job.Window
	for {
		texts := make([][]byte, room)
		for i := range texts {
			texts[i] = tick.AppendPublish(nil, swarm.Message{N: n + i}, l.job.Size)
		}
		if err := l.publisher.Write(texts...); err != nil {
			return int64(n), err
		}
		n += room
		select {
		case <-l.done:
			room = 1 + l.drain()
		case <-l.stop:
			return int64(n), nil
		}
	}
}

// drain takes what else is done already, so that it is answered in one write.
func (l *loop) drain() (n int) {
	for {
		select {
		case <-l.done:
			n++
		default:
			return n
		}
	}
}

func (l *loop) measure() (result, error) {
	start, all := time.Now(), l.all.Load()
	server, own, err := l.usage()
	if err != nil {
		return result{}, err
	}
	time.Sleep(l.job.Measure)
	serverEnd, ownEnd, err := l.usage()
	if err != nil {
		return result{}, err
	}
	seconds := time.Since(start).Seconds()
	deliveries := (l.all.Load() - all) * int64(l.job.Clients)
	cpu := (serverEnd.CPU - server.CPU).Seconds()
	r := result{
		Seconds: seconds, Deliveries: deliveries, PerSecond: float64(deliveries) / seconds,
		ServerCPU: cpu / seconds, LoadCPU: (ownEnd.CPU - own.CPU).Seconds() / seconds, ServerRSS: serverEnd.Resident,
	}
	if deliveries > 0 {
		r.CPUPerMillion = cpu / float64(deliveries) * 1e6
	}
	return r, nil
}

func (l *loop) usage() (server, own rig.Usage, err error) {
	if server, err = rig.ReadUsage(l.job.PID); err != nil {
		return server, own, err
	}
	own, err = rig.ReadUsage(os.Getpid())
	return server, own, err
}

// book waits until every client has all that was published; readers have checked the order. It returns how many
// clients have.
func (l *loop) book(published int64) (int, error) {
	deadline := time.Now().Add(patience)
	for {
		booked, behind := 0, -1
		for i := range l.next {
			if l.next[i].Load() == published {
				booked++
			} else {
				behind = i
			}
		}
		if booked == len(l.next) {
			return booked, nil
		}
		if err := l.swarm.Err(); err != nil {
			return booked, err
		}
		if time.Now().After(deadline) {
			return booked, fmt.Errorf("client %d has %d of %d messages", behind, l.next[behind].Load(), published)
		}
		time.Sleep(time.Millisecond)
	}
}
