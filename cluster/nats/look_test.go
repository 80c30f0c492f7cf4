package nats_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/streamweir/weir/cluster"
	"github.com/streamweir/weir/cluster/nats"
)

// What docs/guide/cluster.md says that a user needs.
var (
	publishes = []string{
		"weir.>", "$JS.API.STREAM.INFO.weir", "$JS.API.STREAM.CREATE.weir", "$JS.API.STREAM.UPDATE.weir", "$JS.API.STREAM.MSG.GET.weir",
		"$JS.API.STREAM.PURGE.weir", "$JS.API.DIRECT.GET.weir",
	}
	subscribes = []string{"weir.>", "_INBOX.>", "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED.weir"}
)

// user has the server let in one user who may do this and nothing else.
func user(publish, subscribe []string) func(*server.Options) {
	return func(o *server.Options) {
		o.Users = []*server.User{{Username: "u", Password: "secret", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Allow: publish}, Subscribe: &server.SubjectPermission{Allow: subscribe},
		}}}
	}
}

// looking is Look at a server.
func looking(t *testing.T, s *server.Server) (nats.Found, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return open(t, nats.Options{URL: "nats://u:secret@" + s.Addr().String()}).Look(ctx)
}

// A user who has what the guide says can do all, and Look finds what a user lacks without changing anything.
func TestLookFindsWhatIsNotPermitted(t *testing.T) {
	s := serve(t, user(publishes, subscribes))
	for range 2 {
		if f, err := looking(t, s); err != nil || f.Stream || f.Replicas != 1 || f.MaxPayload != server.MAX_PAYLOAD_SIZE || f.Version != server.VERSION {
			t.Errorf("before anybody has joined: %+v, %v", f, err)
		}
	}
	m := join(t, nats.Options{URL: "nats://u:secret@" + s.Addr().String()}, newEar())
	if err := m.Subscribe(t.Context(), "c"); err != nil {
		t.Error(err)
	}
	if err := m.Follow(t.Context(), "l"); err != nil {
		t.Error(err)
	}
	if err := m.Publish(t.Context(), "c", []byte("x")); err != nil {
		t.Error(err)
	}
	if _, err := m.Append(t.Context(), "l", cluster.AppendOptions{Keep: 1}, []byte("x")); err != nil {
		t.Error(err)
	}
	if p, err := m.Read(t.Context(), "l", 0, cluster.Limit{}); err != nil || len(p.Entries) != 1 {
		t.Errorf("%+v, %v", p, err)
	}
	if f, err := looking(t, s); err != nil || !f.Stream {
		t.Errorf("when a node has joined: %+v, %v", f, err)
	}
	m.Close()
	without := func(list []string, i int) []string { return slices.Delete(slices.Clone(list), i, i+1) }
	dir := strings.TrimSuffix(s.StoreDir(), "/jetstream")
	s.Shutdown()
	s.WaitForShutdown()
	again := func(o *server.Options) { o.StoreDir = dir }
	for i, p := range publishes {
		if strings.Contains(p, "CREATE") || strings.Contains(p, "UPDATE") {
			continue // which only a change shows
		}
		s := serve(t, user(without(publishes, i), subscribes), again)
		if _, err := looking(t, s); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(p, ">")) {
			t.Errorf("without %s: %v", p, err)
		}
		s.Shutdown()
		s.WaitForShutdown()
	}
	for i, p := range subscribes {
		s := serve(t, user(publishes, without(subscribes, i)), again)
		if _, err := looking(t, s); err == nil || !strings.Contains(err.Error(), strings.TrimSuffix(p, ">")) {
			t.Errorf("without %s: %v", p, err)
		}
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// A server that cannot do what is needed says so, to Look and to Join.
func TestServersThatWillNotDo(t *testing.T) {
	for want, change := range map[string]func(*server.Options){
		"max_payload":            func(o *server.Options) { o.MaxPayload = 1000 },
		"JetStream":              func(o *server.Options) { o.JetStream = false },
		"Authorization":          func(o *server.Options) { o.Username, o.Password = "u", "another" },
		`Subscription to "weir.`: user(publishes, []string{"_INBOX.>", "$JS.>"}),
		`Publish to "$JS.API.STREAM.CREATE.weir"`: user([]string{"weir.>", "$JS.API.STREAM.INFO.weir"}, subscribes),
	} {
		s := serve(t, change)
		if _, err := looking(t, s); !strings.Contains(want, "CREATE") && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("Look: %v, want %q", err, want)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := open(t, nats.Options{URL: "nats://u:secret@" + s.Addr().String()}).Join(ctx, "n", newEar())
		cancel()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Join: %v, want %q", err, want)
		}
	}
}
