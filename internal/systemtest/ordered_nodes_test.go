package systemtest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/enginetest"
	"github.com/streamweir/weir/internal/redistest"
)

// onNode are the options of a node with a name, on a Redis.
func onNode(t *testing.T, redis, name string) weir.Options {
	t.Helper()
	return namedNode(onRedis(t, redis), name)
}

// nodeProcess is a node with one client that runs as a process of its own, until it is killed.
type nodeProcess struct {
	t   *testing.T
	cmd *exec.Cmd
	in  io.Closer // the process ends with it
	out *bufio.Reader
}

// nodeAddress tells TestNodeProcess where Redis is.
const nodeAddress = "WEIR_TEST_NODE_REDIS"

// startNode starts a process with a node, and returns when that serves and has a client.
func startNode(t *testing.T, redis, name string) *nodeProcess {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &nodeProcess{t: t, cmd: exec.Command(program, "-test.run", "^TestNodeProcess$", "-test.count", "1")}
	p.cmd.Env = append(os.Environ(), nodeAddress+"="+redis, "WEIR_TEST_NODE_NAME="+name)
	p.cmd.Stderr = os.Stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.kill)
	p.out = bufio.NewReader(out)
	if line := p.line(); line != "serves" {
		t.Fatalf("the process says %q", line)
	}
	return p
}

// line is the next that the process prints.
func (p *nodeProcess) line() string {
	p.t.Helper()
	line, err := p.out.ReadString('\n')
	if err != nil {
		p.t.Fatalf("a node's process: %q, %v", line, err)
	}
	return strings.TrimSpace(line)
}

// kill ends the process by SIGKILL, if it runs.
func (p *nodeProcess) kill() {
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		p.t.Error(err)
	}
	_ = p.cmd.Wait() // it says that it was killed
}

// TestNodeProcess is what such a process does.
func TestNodeProcess(t *testing.T) {
	redis := os.Getenv(nodeAddress)
	if redis == "" {
		t.Skip("this is a part of other tests")
	}
	srv := start(t, onNode(t, redis, os.Getenv("WEIR_TEST_NODE_NAME")))
	gather(t, srv)
	eventually(t, "the socket is there", func() bool { return metric(t, srv, "weir_sockets") == 1 })
	if _, err := os.Stdout.WriteString("serves\n"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, os.Stdin) // until whoever has started it ends
}

// fetched asks a node for all sockets, and returns by node how many there are.
func fetched(t *testing.T, srv *weir.Server, patience time.Duration) (map[string]int, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	found, err := srv.Lookup("/feed").All().Fetch(ctx)
	nodes := make(map[string]int)
	for _, s := range found {
		nodes[s.Node]++
	}
	return nodes, err
}

// partial checks that an answer says that it is not whole, names who is missing and has what the others have.
func partial(t *testing.T, got map[string]int, err error, missing, there string) {
	t.Helper()
	if !errors.Is(err, weir.ErrTimeout) || !strings.Contains(err.Error(), missing) || got[there] != 1 {
		t.Errorf("found %v, %v: want that of %s, and that %s is missing", got, err, there, missing)
	}
}

// whole asks until an answer says nothing of anybody missing, which has to be the whole then.
func whole(t *testing.T, srv *weir.Server, want string) {
	t.Helper()
	var got map[string]int
	eventually(t, "an answer is whole", func() bool {
		var err error
		got, err = fetched(t, srv, time.Second)
		return err == nil
	})
	if fmt.Sprint(got) != want {
		t.Errorf("an answer without an error has %v, want %s", got, want)
	}
}

// TestNodesThatCannotAnswerAreNamed: a node that was killed, one behind a network that says nothing, and a Redis that is away:
// every question is answered by its end, by what the others know and with the names of those who are missing; a node
// that is dead is asked no more when its lease is over, and one that was away for longer than that asks whom it knew.
func TestNodesThatCannotAnswerAreNamed(t *testing.T) {
	betweenNodes(t)
	s := redistest.Start(t)
	network := enginetest.NewProxy(t, s.Addr())
	a, b := start(t, onNode(t, s.Addr(), "a")), start(t, onNode(t, network.Addr(), "b"))
	gather(t, a)
	gather(t, b)
	c := startNode(t, s.Addr(), "c")
	for _, srv := range []*weir.Server{a, b} {
		eventually(t, "the socket is there", func() bool { return metric(t, srv, "weir_sockets") == 1 })
		whole(t, srv, "map[a:1 b:1 c:1]")
	}
	c.kill()
	got, err := fetched(t, a, time.Second)
	partial(t, got, err, "c", "b")
	network.Hold(true)
	got, err = fetched(t, a, time.Second)
	partial(t, got, err, "b", "a")
	if got, err = fetched(t, b, time.Second); err == nil || got["b"] != 1 {
		t.Errorf("behind a network that says nothing: %v, %v", got, err)
	}
	eventually(t, "the leases of both are over", func() bool { return metric(t, a, "weir_cluster_nodes") == 1 })
	whole(t, a, "map[a:1]")
	if got, err = fetched(t, b, time.Second); !errors.Is(err, weir.ErrUnavailable) || got["b"] != 1 {
		t.Errorf("without a broker for long: %v, %v", got, err)
	}
	network.Hold(false)
	whole(t, b, "map[a:1 b:1]")
	eventually(t, "the other one hears it too", func() bool { return metric(t, a, "weir_cluster_nodes") == 2 })
	whole(t, a, "map[a:1 b:1]")
	network.Cut()
	whole(t, b, "map[a:1 b:1]")
	s.Kill()
	for _, srv := range []*weir.Server{a, b} {
		if got, err = fetched(t, srv, time.Second); err == nil || len(got) != 1 {
			t.Errorf("without Redis: %v, %v", got, err)
		}
	}
	s.Restart(true)
	whole(t, a, "map[a:1 b:1]")
	whole(t, b, "map[a:1 b:1]")
	network.Deafen()
	whole(t, b, "map[a:1 b:1]")
}

// manage makes a call of the management API, and returns the answer.
func manage(t *testing.T, srv *weir.Server, method, path, body string) string {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	srv.Management().ServeHTTP(w, r)
	return strings.TrimSpace(w.Body.String())
}

// TestManagementActsOnAllNodes: emits, rooms and disconnections reach the sockets of all nodes, by id, principal, room, topic and
// address, and the answer counts them, with the names of nodes that have not answered.
func TestManagementActsOnAllNodes(t *testing.T) {
	betweenNodes(t)
	s := redistest.Start(t)
	network := enginetest.NewProxy(t, s.Addr())
	a, b := start(t, onNode(t, s.Addr(), "a")), start(t, onNode(t, network.Addr(), "b"))
	ca, cb := gather(t, a), gather(t, b, "plain")
	whole(t, a, "map[a:1 b:1]")
	both, lone := `"nodes":{"answered":2}}`, `"nodes":{"answered":1,"missing":["b"]`
	emitted := func(n int) string {
		return fmt.Sprintf(`{"recipients":%d,"queued":%d,"coalesced":0,"dropped":0,"rejected":0,"complete":`, n, n)
	}
	say := func(path, body, want string) {
		t.Helper()
		if got := manage(t, a, http.MethodPost, path, `{"namespace":"/feed",`+body+`}`); !strings.HasPrefix(got, want) {
			t.Errorf("%s %s: %s, want %s", path, body, got, want)
		}
	}
	say("/api/emit", `"event":"e","args":[1]`, emitted(2)+"true,"+both)
	say("/api/emit", `"event":"e","args":[2],"to":{"socket":"`+cb.sid+`"}`, emitted(1)+"true,"+both)
	say("/api/emit", `"event":"plain","args":["under a topic's name"]`, emitted(2)+"true,"+both)
	say("/api/sockets/join", `"filter":{"topic":"plain"},"rooms":["red"]`, `{"sockets":1,`+both)
	say("/api/sockets/join", `"filter":{"address":"127.0.0.1"},"rooms":["blue"]`, `{"sockets":2,`+both)
	say("/api/emit", `"event":"e","args":[3],"rooms":["red"]`, emitted(1)+"true,"+both)
	say("/api/sockets/leave", `"filter":{"room":"blue"},"rooms":["red"]`, `{"sockets":2,`+both)
	say("/api/emit", `"event":"e","args":[4],"rooms":["red"]`, emitted(0)+"true,"+both)
	say("/api/sockets/disconnect", `"filter":{"room":"blue"},"dryRun":true`, `{"sockets":2,"dryRun":true,`+both)
	network.Hold(true)
	say("/api/emit", `"event":"e","args":[5]`, emitted(1)+"false,"+lone)
	network.Hold(false)
	for srv, c := range map[*weir.Server]*gathering{a: ca, b: cb} {
		eventually(t, "all is heard again", func() bool {
			return strings.Contains(manage(t, srv, http.MethodPost, "/api/emit", `{"namespace":"/feed","event":"back","args":[1]}`), both)
		})
		eventually(t, "the last came", func() bool { return len(c.of("back")) > 0 })
	}
	if got := strings.Join(ca.of("e"), " "); got != "1 5" {
		t.Errorf("the client of a got %s", got)
	}
	if got := strings.Join(cb.of("e"), " "); !strings.HasPrefix(got, "1 2 3") {
		t.Errorf("the client of b got %s", got)
	}
	say("/api/sockets/disconnect", `"filter":{"id":"`+cb.sid+`"}`, `{"sockets":1,`+both)
	<-cb.done
	say("/api/sockets/disconnect", `"filter":{"room":"blue"},"reconnect":false`, `{"sockets":1,`+both)
	eventually(t, "it was sent away", func() bool { return metric(t, a, "weir_sockets") == 0 })
}

// TestRevocationReachesAllNodes: whoever is revoked on one node is cut on all and refused there, on one that could not hear it when
// it is back, and on one that starts later; what is lifted meanwhile is lifted there too, and is not brought back.
func TestRevocationReachesAllNodes(t *testing.T) {
	betweenNodes(t)
	s := redistest.Start(t)
	network := enginetest.NewProxy(t, s.Addr())
	node := func(redis, name string) *weir.Server {
		return revocable(t, weir.RevokedOptions{}, func(o *weir.Options) {
			o.Cluster = weir.ClusterOptions{Broker: onRedis(t, redis), Node: name}
			o.Management.ReceiptTimeout = 5 * time.Second
		})
	}
	a, b := node(s.Addr(), "a"), node(network.Addr(), "b")
	knows := func(n float64, all ...*weir.Server) {
		t.Helper()
		for _, srv := range all {
			eventually(t, "the nodes know one another", func() bool { return metric(t, srv, "weir_cluster_nodes") == n })
		}
	}
	knows(2, a, b)
	refused := func(srv *weir.Server, principal, id string, want bool) {
		t.Helper()
		eventually(t, fmt.Sprintf("%s is refused: %t", id, want), func() bool {
			return strings.Contains(connects(t, srv, "/feed", tokenOf(t, principal, id)["token"]), "revoked") == want
		})
	}
	mallory := dial(t, addr(b), "/feed", tokenOf(t, "mallory", "m"), dialOptions{})
	alice := dial(t, addr(b), "/feed", tokenOf(t, "alice", "stolen"), dialOptions{})
	eventually(t, "both are there", func() bool { return metric(t, b, "weir_sockets") == 2 })
	const until = `"forMs":3600000}`
	eventually(t, "both nodes answer", func() bool {
		return strings.Contains(asksRevoke(t, a, http.MethodPost, "", `{"jti":"nobody",`+until), `"nodes":{"answered":2}`)
	})
	if got := asksRevoke(t, a, http.MethodPost, "", `{"principal":"mallory",`+until); !strings.Contains(got, `{"disconnected":1,`) || !strings.Contains(got, `"nodes":{"answered":2}`) {
		t.Errorf("revoked, it says %s", got)
	}
	mallory.hears(t, `42/feed,["weir:error",{"ok":false,"code":"forbidden"`, "41/feed")
	refused(b, "mallory", "m", true)
	network.Refuse(true)
	network.Cut()
	eventually(t, "the node knows that the broker is away", func() bool { return strings.Contains(ready(t, b), "away") })
	if got := asksRevoke(t, a, http.MethodPost, "", `{"jti":"stolen",`+until); !strings.Contains(got, `{"disconnected":0,`) || !strings.Contains(got, `"missing":["b"]`) {
		t.Errorf("revoked without the other, it says %s", got)
	}
	if got := asksRevoke(t, a, http.MethodDelete, "?principal=mallory", ""); !strings.Contains(got, `{"lifted":1,`) {
		t.Errorf("lifted, it says %s", got)
	}
	if got := asksRevoke(t, b, http.MethodPost, "", `{"principal":"eve",`+until); !strings.Contains(got, `"missing":["a"]`) {
		t.Errorf("revoked behind a broken network, it says %s", got)
	}
	network.Refuse(false)
	alice.hears(t, `42/feed,["weir:error",{"ok":false,"code":"token_expired"`, "41/feed")
	refused(b, "alice", "stolen", true)
	refused(b, "mallory", "m", false)
	refused(a, "eve", "e", true)
	c := node(s.Addr(), "c")
	refused(c, "alice", "stolen", true)
	refused(c, "eve", "e", true)
	knows(3, a, b, c)
	for _, srv := range []*weir.Server{a, b, c} {
		refused(srv, "mallory", "m", false)
		if n := len(srv.Revocations()); n != 3 {
			t.Errorf("%d revocations are in force, want those of nobody, stolen and eve", n)
		}
	}
}
