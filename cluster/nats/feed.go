package nats

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/streamweir/weir/internal/anchor"
)

// feed is one connection. The client library neither reconnects nor keeps what it could not send: a feed that is broken stays so.
type feed struct {
	*member
	conn   *nats.Conn
	broken chan error     // has room for one
	came   chan *nats.Msg // of all subscriptions
	subs   map[string]*nats.Subscription
	pieces *gatherer // run's

	sending sync.Mutex // over what is written to the connection in one piece
	running sync.WaitGroup
	life    context.Context // ends when it is broken
	end     context.CancelFunc
}

var _ anchor.Feed = (*feed)(nil)

// maxCome is how many messages wait between the library's reader and run, which never waits.
const maxCome = 16 << 10

// The least that a server has to be.
const (
	minMajor, minMinor = 2, 12
	minPayload         = 64 << 10
)

// connect makes a feed without subscriptions, and sees to the stream.
func (m *member) connect(ctx context.Context) (anchor.Feed, error) {
	f, err := m.dial(ctx)
	if err != nil {
		return nil, err
	}
	within, cancel := f.call(ctx)
	defer cancel()
	if _, err = f.ensure(within); err == nil {
		_, err = f.conn.ChanSubscribe(f.names.elected, f.came)
	}
	if err != nil {
		err = f.cause(err)
		f.Close()
		return nil, err
	}
	return f, nil
}

// dial makes a feed on a server that can do what is needed.
func (m *member) dial(ctx context.Context) (*feed, error) {
	f := &feed{
		member: m, broken: make(chan error, 1), came: make(chan *nats.Msg, maxCome), subs: make(map[string]*nats.Subscription),
		pieces: newGatherer(m.Holder()),
	}
	f.life, f.end = context.WithCancel(m.Life())
	var err error
	if f.conn, err = nats.Connect(m.urls(), f.options(ctx)...); err != nil {
		f.end()
		return nil, fmt.Errorf("connect: %w", err)
	}
	f.running.Go(f.run)
	if err := f.greet(); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// urls are where to connect to: what the options say, and what the last server has told of others in its cluster.
func (m *member) urls() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of.opts.InProcess != nil {
		return ""
	}
	return strings.Join(append([]string{m.of.opts.URL}, m.servers...), ",")
}

// discovered are servers of the cluster beyond those of the options, with the name and password of the first of these.
func (f *feed) discovered() (all []string) {
	first, _, _ := strings.Cut(f.of.opts.URL, ",")
	known, err := url.Parse(strings.TrimSpace(first))
	if err != nil {
		return nil
	}
	for _, s := range f.conn.DiscoveredServers() {
		if u, err := url.Parse(s); err == nil {
			u.User = known.User
			all = append(all, u.String())
		}
	}
	return all
}

func (f *feed) options(ctx context.Context) []nats.Option {
	o := f.of.opts
	list := []nats.Option{
		nats.Name("weir " + f.node), nats.NoReconnect(), nats.Timeout(dialTime), nats.FlusherTimeout(writeTime), nats.PingInterval(pingEvery),
		nats.SetCustomDialer(dialer{ctx}), nats.ErrorHandler(f.erred),
		nats.ClosedHandler(func(c *nats.Conn) { f.tear(c.LastError()) }),
	}
	if o.Credentials != "" {
		list = append(list, nats.UserCredentials(o.Credentials))
	}
	if o.InProcess != nil {
		list = append(list, nats.InProcessServer(o.InProcess))
	}
	return list
}

// dialer dials until a context ends.
type dialer struct{ ctx context.Context } //nolint:containedctx // the library's interface has none

func (d dialer) Dial(network, address string) (net.Conn, error) {
	n := net.Dialer{Timeout: dialTime}
	return n.DialContext(d.ctx, network, address)
}

// greet finds out what the server is.
func (f *feed) greet() error {
	var major, minor int
	if _, err := fmt.Sscanf(f.conn.ConnectedServerVersion(), "%d.%d", &major, &minor); err != nil || major < minMajor || (major == minMajor && minor < minMinor) {
		return fmt.Errorf("the server is of version %s: want %d.%d or later", f.conn.ConnectedServerVersion(), minMajor, minMinor)
	}
	if n := f.conn.MaxPayload(); n < minPayload {
		return fmt.Errorf("the server takes %d bytes in a message: max_payload has to be at least %d", n, minPayload)
	}
	servers := f.discovered()
	f.mu.Lock()
	f.servers = servers
	f.mu.Unlock()
	return nil
}

// erred is called by the library: messages were lost because run was too slow, or something is not permitted.
func (f *feed) erred(_ *nats.Conn, _ *nats.Subscription, err error) { f.tear(err) }

// tear says that the feed is broken.
func (f *feed) tear(err error) {
	if err == nil {
		err = errLost
	}
	select {
	case f.broken <- err:
	default:
	}
	f.end()
}

// cause is what has broken the feed, if something has, else err: whoever waits for an answer that is not permitted is told of the
// first.
func (f *feed) cause(err error) error {
	if f.life.Err() == nil {
		return err
	}
	select {
	case why := <-f.broken:
		f.tear(why) // whoever else asks
		return why
	default:
		return err
	}
}

// Broken implements anchor.Feed.
func (f *feed) Broken() <-chan error { return f.broken }

// Close implements anchor.Feed.
func (f *feed) Close() {
	f.end()
	f.running.Wait()
	f.conn.Close()
}

// call is the context of one command: it ends with the feed.
func (f *feed) call(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, anchor.CallTime)
	stop := context.AfterFunc(f.life, cancel)
	return ctx, func() { stop(); cancel() }
}

// Alter implements anchor.Feed. What is subscribed to is known to the stream's leader too when it returns.
func (f *feed) Alter(ctx context.Context, more, less []string) error {
	for _, subject := range less {
		if s := f.subs[subject]; s != nil {
			delete(f.subs, subject)
			if err := s.Unsubscribe(); err != nil {
				return err
			}
		}
	}
	for _, subject := range more {
		s, err := f.conn.ChanSubscribe(subject, f.came)
		if err != nil {
			return err
		}
		f.subs[subject] = s
	}
	if err := f.conn.FlushWithContext(ctx); err != nil || len(more) == 0 {
		return err
	}
	return f.fence(ctx)
}

// Probe implements anchor.Feed: the stream must have a leader, and what is published must come back.
func (f *feed) Probe(ctx context.Context, which string) error {
	if err := f.fence(ctx); err != nil {
		return err
	}
	return f.conn.Publish(f.names.probe+f.id, []byte(which))
}

// run passes on what comes until the feed is broken.
func (f *feed) run() {
	defer f.pieces.close()
	for {
		select {
		case msg := <-f.came:
			f.heard(msg)
		case <-f.life.Done():
			return
		}
	}
}

// heard is one message.
func (f *feed) heard(msg *nats.Msg) {
	switch subject := msg.Subject; {
	case strings.HasPrefix(subject, f.names.channel):
		f.heardMessage(subject[len(f.names.channel):], msg)
	case strings.HasPrefix(subject, f.names.live):
		f.heardAppend(subject[len(f.names.live):], msg)
	case subject == f.names.probe+f.id:
		f.Back(string(msg.Data))
	case subject == f.names.elected:
		f.Queue().Lapsed() // the old leader may have stored what it could not tell any more
	}
}

func (f *feed) heardMessage(of string, msg *nats.Msg) {
	data, head := msg.Data, msg.Header.Get(pieceHeader)
	if head != "" {
		p, err := parsePiece(head)
		if err != nil {
			return // something else writes here
		}
		whole, done, lost := f.pieces.add(msg.Subject, p, data, time.Now())
		if lost {
			f.Queue().Lapsed()
		}
		if !done {
			return
		}
		data = whole
	}
	if name, ok := untoken(of); ok {
		f.Queue().Message(name, data)
	}
}

// heardAppend is a message that the stream has stored. What is not understood was written by something else: what is in the
// log is read.
func (f *feed) heardAppend(of string, msg *nats.Msg) {
	h, seq, err := headingOf(msg)
	name, ok := untoken(of)
	if err != nil || !ok {
		f.Queue().Lapsed()
		return
	}
	whole, done, lost := f.pieces.add(msg.Subject, h.piece, msg.Data, time.Now())
	if lost {
		f.Queue().Lapsed()
	}
	if !done {
		return
	}
	entries, err := h.unpack(whole)
	if err != nil {
		f.Queue().Lapsed()
		return
	}
	f.note(name, &h, seq)
	f.Queue().Entries(name, entries)
}
