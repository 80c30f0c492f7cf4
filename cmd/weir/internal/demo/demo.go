package demo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/peer"
)

// Options shape a Demo. The zero value chooses free ports.
type Options struct {
	Host string // default 127.0.0.1
	// Port of the page and the clients, ManagementPort of the management API, which is always on loopback; NextFree
	// means 3000 and 9393 or the next free port, 0 the kernel's choice.
	Port, ManagementPort int
	Shards               int          // event loops; default GOMAXPROCS
	Slow                 Setting      // how the slow clients begin; the zero value is 4 KiB/s
	Logger               *slog.Logger // default slog.Default()
}

// NextFree as a port means the usual one, or the next that is free.
const NextFree = -1

const (
	usualPort           = 3000
	usualManagementPort = 9393
	portsTried          = 50
	defaultRate         = 4 << 10
)

// Demo is the server behind `weir dev`, its price feed and its slow clients.
type Demo struct {
	srv        *weir.Server
	management http.Handler
	actions    []Action
	journal    string // a directory for the time of the demo; "": there is none
	pace       *Pace
	log        *slog.Logger
	readers    []*reader
	leaving    chan struct{}
	started    int64 // milliseconds since 1970
}

// New opens the ports, makes a temporary directory for the journal, and starts nothing else. The caller must call Run,
// which removes it.
func New(o Options) (*Demo, error) {
	host := cmp.Or(o.Host, "127.0.0.1")
	d := &Demo{log: o.Logger, pace: NewPace(o.Slow), leaving: make(chan struct{}), started: time.Now().UnixMilli()}
	if d.log == nil {
		d.log = slog.Default()
	}
	if o.Slow == (Setting{}) {
		d.pace.Set(Setting{Rate: defaultRate})
	}
	d.makeJournal()
	d.actions = Actions(d.journal != "")
	for _, a := range d.actions {
		d.readers = append(d.readers, &reader{topic: a.Topic})
	}
	if err := d.open(o, host); err != nil {
		d.removeJournal()
		return nil, err
	}
	return d, nil
}

// makeJournal makes a directory for what spills. Where there is none to be had, or no journal, the page has a row less.
func (d *Demo) makeJournal() {
	if runtime.GOOS != "linux" {
		return // a journal needs a lock that only Linux gives
	}
	dir, err := os.MkdirTemp("", "weir-dev-*")
	if err != nil {
		d.log.Error("no temporary directory: the page goes without SPILL_TO_DISK", "error", err)
		return
	}
	d.journal = dir
	d.log.Info("what spills waits in a temporary directory, which is removed at the end", "directory", dir)
}

// Tidy removes what the demo has on the disk, also while it runs: before the process ends without Run's end. Any goroutine may
// call it.
func (d *Demo) Tidy() { d.removeJournal() }

// removeTries is how often the directory is removed: a server that still runs may write into it meanwhile.
const removeTries = 10

func (d *Demo) removeJournal() {
	if d.journal == "" {
		return
	}
	err := os.RemoveAll(d.journal)
	for n := 1; err != nil && n < removeTries; n++ {
		err = os.RemoveAll(d.journal)
	}
	if err != nil {
		d.log.Error("the temporary directory cannot be removed", "directory", d.journal, "error", err)
		return
	}
	d.log.Info("the temporary directory is removed", "directory", d.journal)
}

// open opens the ports.
func (d *Demo) open(o Options, host string) error {
	options := d.options()
	options.Shards = o.Shards
	options.Servers[0].Addr = address(host, o.Port, usualPort)
	options.Management.Addr = address("127.0.0.1", o.ManagementPort, usualManagementPort)
	var err error
	if d.srv, err = weir.New(options); err != nil {
		return err
	}
	if err := d.srv.Listen(); err != nil {
		return err
	}
	d.management = d.srv.Management()
	d.connectReaders()
	return nil
}

// address picks the port. Whether a port is free is only known until somebody takes it, in which case Listen says so.
func address(host string, port, usual int) string {
	if port != NextFree {
		return net.JoinHostPort(host, strconv.Itoa(port))
	}
	for p := usual; p < usual+portsTried; p++ {
		addr := net.JoinHostPort(host, strconv.Itoa(p))
		if l, err := net.Listen("tcp", addr); err == nil {
			_ = l.Close() // nothing was accepted
			return addr
		}
	}
	return net.JoinHostPort(host, strconv.Itoa(usual))
}

// options of the server. The ping time-out is long because a client that the viewer stalls should show a full lane for
// as long as the viewer likes, and not die of the missing pongs.
func (d *Demo) options() weir.Options {
	return weir.Options{
		Servers: []weir.ServerOptions{{
			Name:       "demo",
			SocketIO:   weir.SocketIOOptions{PingTimeout: time.Hour},
			Namespaces: []weir.NamespaceOptions{{Path: Namespace, Topics: topics(d.actions)}},
			Page:       d.pageHandler(),
		}},
		Journal: weir.JournalOptions{Path: d.journal, MaxBytes: journalBytes, Fsync: weir.FsyncNever},
		Drain:   weir.DrainOptions{ClientsPerSecond: 1000, Timeout: time.Second},
		Events:  weir.Events{Cut: d.cut},
		Logger:  d.log,
	}
}

// cut implements weir.Events.Cut: it only takes figures over.
func (d *Demo) cut(e weir.CutEvent) {
	for _, r := range d.readers {
		r.cut(e.Clients)
	}
}

// receiveBuffer is SO_RCVBUF of the slow clients in bytes, so that what they do not read soon fills their lanes and not
// the kernel.
const receiveBuffer = 4 << 10

// connectReaders makes the slow clients; Run starts them.
//
// Each comes from an address of its own, where the system has it (Linux has all of 127.0.0.0/8): a client that was cut
// for being slow is refused by its address for a while, and the browser on the same machine must not be.
func (d *Demo) connectReaders() {
	target := peer.Target{
		URL:       &url.URL{Scheme: "http", Host: reachable(d.srv.Addr("demo")), Path: peer.DefaultPath},
		Namespace: Namespace,
	}
	source := netip.AddrFrom4([4]byte{127, 0, 0, 2})
	for _, r := range d.readers {
		r.client = NewSlowClient(SlowOptions{
			Target: target, Conn: peer.Options{Source: source, ReceiveBuffer: receiveBuffer}, Topic: r.topic, Pace: d.pace,
			Backoff: Backoff{First: 500 * time.Millisecond, Most: 10 * time.Second}, Logger: d.log,
		})
		source = source.Next()
	}
}

// reachable is an address to connect to for one that was listened on: loopback for "all addresses".
func reachable(a net.Addr) string {
	tcp, ok := a.(*net.TCPAddr)
	if !ok || !tcp.IP.IsUnspecified() {
		return a.String()
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(tcp.Port))
}

// PageURL is where the page is.
func (d *Demo) PageURL() string { return "http://" + reachable(d.srv.Addr("demo")) + "/" }

// ClientURL is what a socket.io-client connects to.
func (d *Demo) ClientURL() string { return "http://" + reachable(d.srv.Addr("demo")) + Namespace }

// Curl is a command for a shell that publishes to HelloTopic, which the page shows.
func (d *Demo) Curl() string {
	return fmt.Sprintf(`curl -H 'Content-Type: application/json' -d '{"namespace":%q,"topic":%q,"payload":"Hello from curl"}' http://%s/api/publish`,
		Namespace, HelloTopic, d.srv.Addr("management"))
}

// Run serves until ctx ends, then leaves and waits for all it has started.
func (d *Demo) Run(ctx context.Context) error {
	defer d.removeJournal()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	for _, r := range d.readers {
		wg.Go(func() { r.client.Run(ctx) })
	}
	wg.Go(func() { newFeed().run(ctx, d.srv, d.actions, d.log) })
	wg.Go(func() { d.announce(ctx) })
	err := d.srv.Run(ctx)
	stop()
	wg.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// announce ends the state streams as soon as the demo leaves: they would hold the door open.
func (d *Demo) announce(ctx context.Context) {
	<-ctx.Done()
	close(d.leaving)
}
