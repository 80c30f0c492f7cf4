//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/enginetest"
)

// spawnNATS starts a nats-server as a process.
func spawnNATS(t *testing.T) *enginetest.Process {
	t.Helper()
	dir := t.TempDir()
	return enginetest.Start(t, enginetest.Options{
		Program: "nats-server", Dir: dir,
		Args: func(port string) []string { return []string{"-a", "127.0.0.1", "-p", port, "-js", "-sd", dir} },
		Serves: func(addr string) bool {
			c, err := net.Dial("tcp", addr)
			if err != nil {
				return false
			}
			_ = c.Close()
			return true
		},
	})
}

// node is a weir process, and where its ports are.
type node struct {
	*process
	clients, management string
}

// serveNode runs a node with a topic of each kind.
func serveNode(t *testing.T, name, cluster string) *node {
	t.Helper()
	file := filepath.Join(t.TempDir(), "weir.yaml")
	text := fmt.Sprintf(`weir: 1
log: {format: json}
management: {port: 0}
cluster: %s
servers: {feed: {host: 127.0.0.1, port: 0, namespaces: [{path: /feed, topics: [plain, {name: sure, deliveryMode: AT_LEAST_ONCE, overflowAction: REJECT_NEW, history: 10000}]}]}}
`, cluster)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	n := &node{process: startProcess(t, exec.Command("weir", "serve", "--config", file, "--set", "cluster.nodeName="+name))}
	n.clients, n.management = n.address("feed"), n.address("management")
	return n
}

// address reads where a port is from the log.
func (n *node) address(server string) string {
	n.t.Helper()
	var at struct{ Address string }
	if err := json.Unmarshal([]byte(n.until(`"server":"`+server+`"`)), &at); err != nil {
		n.t.Fatal(err)
	}
	return at.Address
}

// get is an answer of the management API.
func (n *node) get(path string) (status int, body string) {
	n.t.Helper()
	a, err := http.Get("http://" + n.management + path)
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

// publish publishes a payload of JSON.
func (n *node) publish(topic, payload string) (status int, body string) {
	n.t.Helper()
	a, err := http.Post("http://"+n.management+"/api/publish", "application/json",
		strings.NewReader(fmt.Sprintf(`{"namespace":"/feed","topic":%q,"payload":%s}`, topic, payload)))
	if err != nil {
		n.t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	return a.StatusCode, string(b)
}

// eventually asks until it is so.
func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	end := time.After(patience)
	for !is() {
		select {
		case <-end:
			t.Fatalf("%s: not within %s", what, patience)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// Two nodes on a NATS of its own process: what is published on one reaches who is at the other; they say when NATS is away, and
// go on when it is back.
func TestNodesOnNATS(t *testing.T) {
	s := spawnNATS(t)
	setting := fmt.Sprintf("{broker: nats, nats: {url: 'nats://%s'}}", s.Addr())
	one, two := serveNode(t, "one", setting), serveNode(t, "two", setting)
	one.until(`"msg":"ready"`)
	two.until(`"msg":"ready"`)
	heard := make(map[string]chan string)
	ctx, stop := context.WithCancel(t.Context())
	var tails []<-chan int
	for _, topic := range []string{"plain", "sure"} {
		heard[topic] = make(chan string, 1000)
		read, printed := io.Pipe()
		ended := make(chan int, 1)
		tails = append(tails, ended)
		go func() {
			ended <- run(ctx, []string{"tail", "/feed", topic, "--url", "http://" + two.management}, streams{out: printed, err: io.Discard})
			_ = printed.Close()
		}()
		go func() {
			for in := json.NewDecoder(read); ; {
				var m struct{ Payload string }
				if in.Decode(&m) != nil {
					return
				}
				heard[topic] <- m.Payload
			}
		}()
	}
	reaches := func(text string) {
		t.Helper()
		for topic, came := range heard {
			eventually(t, text+" of "+topic+" reaches the other node", func() bool {
				if status, body := one.publish(topic, fmt.Sprintf("%q", text)); status != http.StatusOK {
					t.Logf("%s: %s", topic, body)
					return false
				}
				for {
					select {
					case got := <-came:
						if got == text {
							return true
						}
					case <-time.After(100 * time.Millisecond): // it has not begun to hear, or is slow
						return false
					}
				}
			})
		}
	}
	reaches("first")
	if _, body := one.get("/metrics"); !strings.Contains(body, "weir_cluster_up 1") || !strings.Contains(body, "weir_cluster_nodes 2") {
		t.Error("the metrics do not say that two nodes are there")
	}
	s.Kill()
	eventually(t, "the node says that the broker is away", func() bool {
		status, body := one.get("/readyz")
		return status == http.StatusOK && strings.Contains(body, "the broker is away since")
	})
	if status, body := one.publish("sure", `"lost"`); status != http.StatusServiceUnavailable || !strings.Contains(body, "unavailable") {
		t.Errorf("a reliable publish without NATS: %d %s", status, body)
	}
	if status, body := one.publish("plain", `"here"`); status != http.StatusOK {
		t.Errorf("a plain publish without NATS: %d %s", status, body)
	}
	s.Restart(false)
	for _, n := range []*node{one, two} {
		eventually(t, "the node is well again", func() bool { _, body := n.get("/readyz"); return body == "ready\n" })
	}
	reaches("second")
	stop()
	for _, ended := range tails {
		<-ended
	}
	for _, n := range []*node{one, two} {
		n.signal(os.Interrupt)
		if code := n.exitCode(); code != exitGood {
			t.Errorf("exit code %d", code)
		}
	}
	for topic, came := range heard {
		for len(came) > 0 {
			if got := <-came; topic == "sure" && got == "lost" {
				t.Error("what was refused is delivered")
			}
		}
	}
}

// doctor asks NATS itself, and check what it can tell without.
func TestDoctorAsksNATS(t *testing.T) {
	s := spawnNATS(t)
	dir := t.TempDir()
	config := func(at string) string {
		path := filepath.Join(dir, url.PathEscape(at)+".yaml")
		text := strings.Replace(tailConfig, "weir: 1", "weir: 1\ncluster: {broker: nats, nats: {url: '"+at+"'}}", 1)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	says := func(args ...string) string {
		var out bytes.Buffer
		run(t.Context(), args, streams{out: &out, err: &out})
		return out.String()
	}
	good := config("nats://" + s.Addr())
	if out := says("check", good); !strings.Contains(out, "no problems") {
		t.Error(out)
	}
	if out := says("doctor", "--config", good, "--verbose"); !strings.Contains(out, "with JetStream; the first node makes the stream") {
		t.Error(out)
	}
	if out := says("check", config("http://x")); !strings.Contains(out, "cluster.nats.url: want nats://") {
		t.Error(out)
	}
	s.Kill()
	if out := says("doctor", "--config", good); !strings.Contains(out, "connection refused") {
		t.Error(out)
	}
}

// Three weir processes are a cluster with no other service. Each is killed while the others are published to, and comes back:
// what was answered with success is in the history of all, once, in one order.
func TestThreeNodesWithoutAnotherService(t *testing.T) {
	peers := enginetest.FreeAddrs(t, 3)
	settings, nodes := make([]string, 3), make([]*node, 3)
	begin := func(i int) { nodes[i] = serveNode(t, fmt.Sprint("n", i), settings[i]) }
	for i := range nodes {
		settings[i] = fmt.Sprintf("{broker: nats, nats: {embedded: true, storeDir: %q, listen: '%s', peers: ['%s'], secret: a secret of the tests}}",
			t.TempDir(), peers[i], strings.Join(peers, "', '"))
		begin(i)
		if i == 0 {
			nodes[0].until("1 of 3 are there")
			if status, body := nodes[0].get("/readyz"); status != http.StatusServiceUnavailable || !strings.Contains(body, "2 have to be") {
				t.Errorf("alone: %d %s", status, body)
			}
		}
	}
	for _, n := range nodes {
		n.until(`"msg":"ready"`)
	}
	answered := make(map[string]bool)
	sent := 0
	take := func(at ...*node) { // some that are answered with success
		t.Helper()
		end := time.After(patience)
		for had := len(answered); len(answered) < had+20; {
			text := fmt.Sprint("m", sent)
			n := at[sent%len(at)]
			sent++
			switch status, body := n.publish("sure", fmt.Sprintf("%q", text)); status {
			case http.StatusOK:
				answered[text] = true
			case http.StatusServiceUnavailable, http.StatusTooManyRequests: // there is no leader; or nobody knows whether it was taken
				select {
				case <-time.After(20 * time.Millisecond):
				case <-end:
					t.Fatalf("nothing is taken: %s", body)
				}
			default:
				t.Fatalf("%d %s", status, body)
			}
		}
	}
	take(nodes...)
	for i := range nodes {
		nodes[i].signal(os.Kill)
		_ = nodes[i].cmd.Wait()
		take(nodes[(i+1)%3], nodes[(i+2)%3])
		begin(i)
		nodes[i].until(`"msg":"ready"`)
		take(nodes...)
	}
	var first []string
	for i, n := range nodes {
		var got []string
		eventually(t, "a node has all", func() bool {
			got = n.history("sure")
			return len(got) >= len(answered)
		})
		times := make(map[string]int)
		for _, text := range got {
			times[text]++
		}
		for text, n := range times { // of what was not answered too
			if n > 1 {
				t.Errorf("node %d: %s is there %d times", i, text, n)
			}
		}
		for text := range answered {
			if times[text] != 1 {
				t.Errorf("node %d: %s was answered and is there %d times", i, text, times[text])
			}
		}
		if i == 0 {
			first = got
		} else if !slices.Equal(first, got) {
			t.Errorf("node %d has another order", i)
		}
	}
	for _, n := range nodes {
		n.signal(os.Interrupt)
	}
	for _, n := range nodes {
		if code := n.exitCode(); code != exitGood {
			t.Errorf("exit code %d", code)
		}
	}
}

// history are all messages that a topic has kept, the oldest first; none while the broker is away.
func (n *node) history(topic string) (all []string) {
	n.t.Helper()
	status, body := n.get("/api/history?namespace=/feed&limit=1000&topic=" + topic)
	if status == http.StatusServiceUnavailable {
		return nil
	}
	var page struct {
		Records []struct{ Payload string }
	}
	if err := json.Unmarshal([]byte(body), &page); err != nil || status != http.StatusOK {
		n.t.Fatalf("%d %s", status, body)
	}
	for _, m := range page.Records {
		all = append(all, m.Payload)
	}
	return all
}
