package nats_test

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"go.uber.org/goleak"

	"github.com/streamweir/weir/cluster/clustertest"
	"github.com/streamweir/weir/cluster/nats"
	"github.com/streamweir/weir/internal/enginetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func open(t testing.TB, o nats.Options) *nats.Broker {
	t.Helper()
	b, err := nats.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// serve runs a server in this process.
func serve(t testing.TB, changes ...func(*server.Options)) *server.Server {
	t.Helper()
	o := &server.Options{
		Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true, ServerName: "test",
	}
	for _, change := range changes {
		change(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	for !s.ReadyForConnections(time.Minute) {
		t.Fatal("the server does not start")
	}
	return s
}

// The suite, through a proxy that cuts and deafens.
func TestNATSIsABroker(t *testing.T) {
	clustertest.Run(t, func(t testing.TB) *clustertest.Engine {
		s := serve(t)
		p := enginetest.NewProxy(t, s.Addr().String())
		return &clustertest.Engine{
			Broker:  open(t, nats.Options{URL: "nats://" + p.Addr()}),
			Cut:     func(testing.TB) { p.Cut() },
			Stop:    func(testing.TB) { p.Refuse(true); p.Cut() },
			Start:   func(testing.TB) { p.Refuse(false) },
			Forget:  func(t testing.TB) { forget(t, s.ClientURL()) },
			Deafen:  func(testing.TB) { p.Deafen() },
			Overrun: 64<<20/(64<<10) + 100,
		}
	})
}

// The suite, with a process that is killed and started again, with its data or without.
func TestNATSThatIsKilledIsABroker(t *testing.T) {
	clustertest.Run(t, func(t testing.TB) *clustertest.Engine {
		s := spawn(t, "one", "")
		return &clustertest.Engine{
			Broker: open(t, nats.Options{URL: "nats://" + s.Addr()}),
			Cut:    func(testing.TB) { s.Kill(); s.Restart(false) },
			Stop:   func(testing.TB) { s.Kill() },
			Start:  func(testing.TB) { s.Restart(false) },
			Forget: func(testing.TB) { s.Kill(); s.Restart(true) },
		}
	})
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []nats.Options{
		{}, {URL: "redis://x"}, {URL: "nats://"}, {URL: "nats://a:1,http://b"}, {URL: "nats://a:1", KeyPrefix: "a.b"}, {URL: "nats://a:1", LogTTL: 1},
		{URL: "nats://a:1", KeyPrefix: "ü"}, {URL: "nats://a:1", Replicas: 2}, {URL: "nats://a:1", Replicas: -1},
		{URL: "nats://a:1", InProcess: (*server.Server)(nil)}, {URL: "nats://a:1", Credentials: "none.creds"}, {URL: "nats://a:1", Credentials: "nats_test.go"},
	} {
		if _, err := nats.New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
	if _, err := nats.New(nats.Options{URL: "nats://u:secret@[::1"}); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is told: %v", err)
	}
	if b := open(t, nats.Options{URL: "nats://u:secret@a:1, tls://b"}); b.Addr() != "a:1, b" {
		t.Errorf("the address is %q", b.Addr())
	}
}
