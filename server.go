package weir

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamweir/weir/internal/admin"
	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/budget"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/drain"
	"github.com/streamweir/weir/internal/guard"
	"github.com/streamweir/weir/internal/hook"
	"github.com/streamweir/weir/internal/link"
	"github.com/streamweir/weir/internal/logqueue"
	"github.com/streamweir/weir/internal/metrics"
	"github.com/streamweir/weir/internal/ports"
	"github.com/streamweir/weir/internal/survey"
	"github.com/streamweir/weir/internal/workers"
)

// Server is one node: its doors, namespaces and shards. All methods may be called
// from any goroutine. It must be Run; until then it answers 503. One that is not Run
// has to be closed.
type Server struct {
	opts    Options
	log     *slog.Logger
	hub     *delivery.Hub
	disk    disk
	fleet   *fleet
	lobby   *delivery.Namespace // for answers to clients that are in no namespace
	doors   []*door
	byPath  base.Names[*Namespace]
	ports   *ports.Set
	pollers link.Pollers // one for each shard; nil: no driver is epoll
	tls     []*secured   // of the ports that have it

	managementTLS *secured // one of tls; nil: that port is in the clear

	workers   *workers.Pool // run handlers
	outside   *workers.Pool // ask the application's checks, which may hang
	renewing  atomic.Int64  // goroutines of it that wait for the hook, about fresh tokens
	mayRenew  int64         // how many may
	requests  *workers.Pool // do what clients request of Weir itself and no loop may wait for
	readers   *workers.Pool // read large messages; they wait for nobody
	failures  *guard.Failures
	revoked   *guard.Revocations
	penalties *guard.Penalties
	strikes   *guard.Strikes
	refusals  *guard.Refusals
	agents    *guard.Agents
	began     time.Time
	count     counters
	handling  handling        // the handlers that run now
	lines     *logqueue.Queue // what log writes to
	herald    *herald         // calls opts.Events, which tell it
	stalls    stallLog
	comers    *guard.Comers
	exposed   *metrics.Collector
	registry  *prometheus.Registry

	registered prometheus.Registerer // Options.Registerer, with this server's label; nil: none

	state    atomic.Int32
	ready    chan struct{} // closed when it serves
	abort    chan struct{} // closed by Close: nothing is waited for any more
	closing  chan struct{} // closed when draining is over and everything is being closed
	stopped  chan struct{} // closed when nothing runs any more
	ended    chan struct{} // closed after the last step of Run, or of Close where it was not called
	endErr   error         // what ended has to say
	aborting sync.Once
	drain    *drain.Drain
	room     int           // connections there are descriptors for; 0: not known
	fullOnce sync.Once     // that there is no room has been logged
	ledger   *admin.Ledger // of publishes over the management API
	views    *admin.Views  // what the management API, of this node and of others, shows
	extras   attach.Extras // does not change once the server listens
	hook     *hook.Connect // nil: nobody is asked
	mu       sync.Mutex
	wg       sync.WaitGroup // goroutines of housekeeping, of the drain and of Disconnect

	reloading sync.Mutex // held while files are read again, or a configuration is

	authenticate atomic.Pointer[AuthFunc]   // Options.Authenticate, or what has taken its place
	bearers      atomic.Pointer[guard.Keys] // of the management API
}

// The states of a server, in order.
const (
	stateNew int32 = iota
	stateRunning
	stateDraining
	stateStopped
)

// New returns a server that does not run yet, or every problem of the options at
// once, joined. Nothing is started and no port is opened, but the metrics are
// registered with Options.Registerer. Run it, or Close it.
func New(o Options) (*Server, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: o, began: time.Now(), log: o.Logger, ready: make(chan struct{}), abort: make(chan struct{}),
		closing: make(chan struct{}), stopped: make(chan struct{}), ended: make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.Default()
	}
	s.authenticate.Store(&s.opts.Authenticate)
	s.lines = logqueue.New(s.log.Handler())
	s.log = slog.New(s.lines.Handler())
	s.herald = newHerald(s.log)
	s.opts.Events = o.Events.throughHerald(s.herald)
	s.ports = ports.New(s.log)
	s.ledger = admin.NewLedger(s.log)
	s.opts.Drain.ClientsPerSecond = orDefault(o.Drain.ClientsPerSecond, 200)
	s.opts.Drain.Timeout = orDefault(o.Drain.Timeout, time.Minute)
	s.opts.Management.ReceiptTimeout = orDefault(o.Management.ReceiptTimeout, time.Second)
	servers := s.opts.servers()
	s.disk.of, s.fleet = s, newFleet(s)
	shards := orDefault(o.Shards, runtime.GOMAXPROCS(0))
	s.hub = delivery.New(delivery.Options{
		Shards: shards, Waiters: s.makePollers(servers, shards), BudgetBytes: guard.Budget(o.Memory.BudgetBytes),
		HighWatermark: o.Memory.HighWatermark, FinishTimeout: finishTimeout, OnCut: s.onCut, OnStall: s.onStall, Open: s.openLog, Relieve: s.disk.relieve,
	})
	s.views = admin.NewViews(s.hub, s.disk.troubles, others{s.fleet})
	s.drain = s.newDrain()
	s.handling.deadline = o.Workers.Deadline
	lobby := NamespaceOptions{}
	s.lobby = s.hub.Declare(delivery.NamespaceSpec{Events: lobby.eventsPolicy()})
	var err error
	s.workers, err = workers.New(workers.Options{
		Max: orDefault(o.Workers.Max, 256), Nice: o.Workers.Nice, Compute: computing(o.Workers.Nice, shards), Upkeep: s.upkeep, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.warnOfOnePlace(computing(o.Workers.Nice, shards))
	s.requests, err = workers.New(workers.Options{Max: orDefault(o.Workers.Max, 256), Logger: s.log})
	if err != nil {
		return nil, err
	}
	s.outside, err = workers.New(workers.Options{
		Max: orDefault(o.Outside.Max, 256), Queue: orDefault(o.Outside.Queue, 10_000), Nice: o.Workers.Nice, Logger: s.log,
	})
	if err != nil {
		return nil, err
	}
	s.mayRenew = max(1, int64(orDefault(o.Outside.Max, 256)/4))
	s.readers, err = workers.New(workers.Options{Max: shards, Nice: o.Workers.Nice, Logger: s.log})
	if err != nil {
		return nil, err
	}
	s.remember()
	if s.hook, err = s.newHook(&s.opts.Hooks); err != nil {
		return nil, err
	}
	for _, so := range servers {
		d, err := newDoor(s, so)
		if err != nil {
			return nil, fmt.Errorf("server %q: %w", so.Name, err)
		}
		s.doors = append(s.doors, d)
		for _, no := range so.Namespaces {
			if _, err := s.declare(d, no, nil); err != nil {
				return nil, err
			}
		}
	}
	if s.managementTLS, err = s.newSecured("management", o.Management.TLS); err != nil {
		return nil, err
	}
	if err := s.register(); err != nil {
		return nil, err
	}
	return s, nil
}

// remember makes the tables of what is remembered of clients, their addresses and their tokens: all of them are in the budget.
func (s *Server) remember() {
	o, hold := &s.opts, s.hub.Holder(budget.Remembered)
	s.failures = guard.NewFailures(guard.FailureLimit{Max: o.AuthFailures.Max, Window: o.AuthFailures.Window}, hold)
	s.revoked = guard.NewRevocations(o.Revoked.Tokens, o.Revoked.Principals, s.began, hold)
	s.penalties, s.strikes, s.refusals = guard.NewPenalties(hold), guard.NewStrikes(hold), guard.NewRefusals(hold)
	s.agents, s.comers = guard.NewAgents(hold), guard.NewComers(hold)
}

func (s *Server) running() bool { return s.state.Load() == stateRunning || s.leaving() }
func (s *Server) leaving() bool { return s.state.Load() == stateDraining }

// serving reports whether clients are taken: its logs are open, and its cluster joined.
func (s *Server) serving() bool {
	select {
	case <-s.ready:
		return s.running()
	default:
		return false
	}
}

// told reports whether the server was told to end.
func (s *Server) told() bool {
	select {
	case <-s.abort:
		return true
	default:
		return s.leaving()
	}
}

// ServeHTTP serves the first door, for mounting in an application's own HTTP
// server under the Socket.IO path. Until Run it answers 503.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.doors[0].ServeHTTP(w, r) }

// Handler returns the handler of the door with that name (ServerOptions.Name; "default" where
// there is none), nil if there is no such door. Until Run it answers 503.
func (s *Server) Handler(name string) http.Handler {
	for _, d := range s.doors {
		if d.opts.Name == name {
			return d
		}
	}
	return nil
}

// Run serves until ctx ends, or Drain or Close is called: then it drains, but for Close,
// closes every connection and waits for all its goroutines. It opens the configured ports
// unless Listen has done so. Its error says what could not be opened or closed, nil after
// an end in order. It can be called once: again it fails with ErrInvalid, and after Close
// with ErrDraining.
func (s *Server) Run(ctx context.Context) error {
	if err := s.begin(); err != nil {
		return err
	}
	s.endErr = s.run(ctx)
	close(s.ended)
	return s.endErr
}

// begin makes a new server a running one.
func (s *Server) begin() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch s.state.Load() {
	case stateNew:
	case stateStopped:
		return coded(ErrDraining, "the server has stopped")
	default:
		return coded(ErrInvalid, "Run was called before")
	}
	s.measureRoom() // a mounted server is asked as soon as it says that it runs
	s.state.Store(stateRunning)
	return nil
}

// run is Run.
func (s *Server) run(ctx context.Context) error {
	if err := s.pollers.Open(s.hub); err != nil {
		s.hub.Close() // its loops cannot run: nothing below waits for them
		return errors.Join(err, s.stop())
	}
	s.hub.Start()
	if err := s.Listen(); err != nil {
		return errors.Join(err, s.stop())
	}
	s.ports.Serve("management", "probes") // they say what the rest waits for
	if err := s.disk.begin(ctx); err != nil {
		if ctx.Err() != nil && errors.Is(err, delivery.ErrOpening) {
			err = nil // it was told to end before its logs were open
		}
		return errors.Join(err, s.stop())
	}
	if err := s.fleet.join(ctx); err != nil {
		if ctx.Err() != nil || s.told() {
			err = nil // it was told to end before it had joined
		}
		return errors.Join(err, s.stop())
	}
	s.ports.Serve()
	housekeeping := make(chan struct{})
	s.wg.Add(2)
	go s.housekeep(housekeeping)
	go s.watchFiles(housekeeping)
	close(s.ready)
	select {
	case <-ctx.Done():
		s.leave()
	case <-s.drain.Began():
	case <-s.abort:
	}
	select {
	case <-s.drain.Done(): // what is left is closed by stop
	case <-s.abort:
	}
	close(housekeeping)
	err := s.stop()
	s.logStopped(err)
	s.lines.Flush(lastLines)
	return err
}

// Ready waits until the server serves: nil, ErrTimeout when ctx ends first, ErrDraining
// when the server leaves, has stopped or was closed. A client that comes before is
// answered 503. With a context that has ended it says how things are.
func (s *Server) Ready(ctx context.Context) error {
	select {
	case <-s.ready:
	default:
		select {
		case <-s.ready:
		case <-s.closing:
		case <-ctx.Done():
			return &Error{Code: ErrTimeout, Reason: "the server does not run yet", Cause: ctx.Err()}
		}
	}
	if s.state.Load() != stateRunning {
		return coded(ErrDraining, "the server leaves, or has stopped")
	}
	return nil
}

// Close ends the server at once and returns when Run has: connections are closed without a
// drain, handlers have 10 s. Where Run was not called it closes the ports that Listen has
// opened and takes the metrics back. Its error is that of Run; again it does nothing, and
// returns the same. Not to be called by handlers, which it waits for. To leave gently, end
// Run's context, or Drain.
func (s *Server) Close() error {
	s.mu.Lock()
	begun := !s.state.CompareAndSwap(stateNew, stateStopped)
	s.mu.Unlock()
	if begun {
		s.aborting.Do(func() { close(s.abort) })
		<-s.ended
		return s.endErr
	}
	s.hub.Close() // its loops do not run: nothing below waits for them
	s.endErr = s.stop()
	close(s.ended)
	return s.endErr
}

// stop closes everything in order: the doors, the handlers, the shards.
func (s *Server) stop() error {
	s.mu.Lock()
	s.state.Store(stateStopped)
	s.mu.Unlock()
	close(s.closing)
	var errs []error
	for _, d := range s.doors {
		errs = append(errs, d.Close())
	}
	if s.hook != nil {
		s.hook.Close()
	}
	// What was read, and what comes back from outside, ends on the workers.
	errs = append(errs, s.ports.Close(), closePool(s.readers), closePool(s.outside), closePool(s.requests), closePool(s.workers))
	s.hub.Close()
	errs = append(errs, s.disk.close())
	s.fleet.close()
	s.pollers.Close()
	close(s.stopped)
	s.wg.Wait()
	s.ledger.Sum()
	s.unregister()
	s.herald.close()
	s.lines.Flush(lastLines)
	return errors.Join(errs...)
}

// computing is how many handlers may compute at once, so that each loop finds one of Go's processors free; 0, any number, where the
// operating system is told nothing of them.
func computing(nice, shards int) int {
	switch spare := runtime.GOMAXPROCS(0) - shards; {
	case nice == 0:
		return 0
	case spare > 0:
		return spare
	default:
		return runtime.NumCPU()
	}
}

// warnOfOnePlace says at start that handlers compute one at a time, where there are CPUs for more.
func (s *Server) warnOfOnePlace(places int) {
	if places == 1 && runtime.NumCPU() > 1 {
		s.log.Warn("one handler computes at a time, whatever the CPUs: raise GOMAXPROCS above Shards + 1, or lower Shards",
			"gomaxprocs", runtime.GOMAXPROCS(0), "cpus", runtime.NumCPU(), "nice", s.opts.Workers.Nice)
	}
}

// lastJobs is how long the jobs of a pool have when the server stops. Each pool has it for itself: calls that hang outside
// take no time from handlers.
const lastJobs = 10 * time.Second

func closePool(p *workers.Pool) error {
	ctx, cancel := context.WithTimeout(context.Background(), lastJobs)
	defer cancel()
	return p.Close(ctx)
}

// sweepEvery is how often what is remembered of addresses is tidied, and publishes are summed up.
const sweepEvery = time.Minute

// housekeep ends with done.
func (s *Server) housekeep(done <-chan struct{}) {
	defer s.wg.Done()
	t := time.NewTicker(sweepEvery)
	defer t.Stop()
	s.remind(time.Now())
	for {
		select {
		case <-done:
			return
		case now := <-t.C:
			s.remind(now)
			s.failures.Sweep(now)
			s.penalties.Sweep(now)
			s.strikes.Sweep(now)
			s.sweepDoors()
			s.revoked.Sweep(now)
			s.sumUpRefusals(now)
			s.disk.sweep(now)
			s.ledger.Sum()
			s.sayLate(now)
		}
	}
}

// onCut tells the log and the embedder of a cut.
func (s *Server) onCut(e survey.CutNotice) {
	for i, v := range e.Clients {
		if i == 0 {
			if a, err := netip.ParseAddr(v.Address); err == nil {
				s.comers.Left(a)
			}
		}
		s.log.Warn("client cut", "cause", e.Cause.String(), "socket", v.ID, "namespace", v.Namespace, "principal", v.Principal,
			"address", v.Address, "agent", v.Agent, "topic", heaviest(v.Lanes), "depth", v.Depth, "bytes", v.Bytes, "oldest_ms", v.OldestMs)
	}
	if f := s.opts.Events.Cut; f != nil {
		s.herald.tell(noticeCut, noticeBytes+viewBytes*len(e.Clients), func() {
			f(CutEvent{Cause: e.Cause.String(), Clients: viewsOf(e.Clients)})
		})
	}
}

// heaviest is the topic of the lane that holds most, "" for plain events.
func heaviest(lanes []survey.Lane) (topic string) {
	most := -1
	for i := range lanes {
		if lanes[i].Bytes > most {
			most, topic = lanes[i].Bytes, lanes[i].Topic
		}
	}
	return topic
}

// Listen opens the configured ports, so that Addr is known before Run: all of them, or
// none, and then its error names every port that could not be opened, and has no Code. It does
// nothing if that was done before.
func (s *Server) Listen() error {
	var specs []ports.Spec
	for _, d := range s.doors {
		if d.opts.Addr == "" {
			continue
		}
		specs = append(specs, ports.Spec{
			Name: d.opts.Name, Title: fmt.Sprintf("server %q", d.opts.Name), Addr: d.opts.Addr,
			Handler: d, HeaderTimeout: d.opts.Limits.HeaderTimeout, KeepAlive: d.opts.Limits.KeepAlive, Accept: d.Accept,
		})
	}
	return s.ports.Open(append(specs, s.managementPorts()...))
}

// Addr is where the door with that name (ServerOptions.Name) listens, "management" and "probes" being
// the names of those; nil if it does not.
func (s *Server) Addr(name string) net.Addr { return s.ports.Addr(name) }
