package systemtest_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/wire/ws"
)

// onDrivers starts a server of two shards for each driver of this system.
func onDrivers(t *testing.T, o weir.ServerOptions, setup ...func(*weir.Server)) map[weir.Driver]*weir.Server {
	t.Helper()
	servers := make(map[weir.Driver]*weir.Server)
	for _, d := range []weir.Driver{weir.DriverAuto, weir.DriverGoroutine} {
		so := o
		so.Driver = d
		if d == weir.DriverAuto {
			so.Driver = best()
		}
		servers[so.Driver] = start(t, weir.Options{Shards: 2, Servers: []weir.ServerOptions{so}}, setup...)
	}
	return servers
}

// best is the driver that auto chooses here.
func best() weir.Driver {
	_, err := weir.New(weir.Options{Servers: []weir.ServerOptions{{Driver: weir.DriverEpoll, Namespaces: []weir.NamespaceOptions{{Path: "/"}}}}})
	if err != nil {
		return weir.DriverGoroutine
	}
	return weir.DriverEpoll
}

// exchange sends text on a connection of its own and returns all that comes back until
// the server ends it.
func exchange(t *testing.T, address, text string) string {
	t.Helper()
	conn := connect(t, address)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		t.Fatalf("read %q, then %v", got, err)
	}
	return string(got)
}

func connect(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

const (
	upgradeFields = "Host: weir\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
	keyFields     = "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	wsQuery       = "?EIO=4&transport=websocket"
)

func upgradeRequest(query, fields string) string {
	return "GET /socket.io/" + query + " HTTP/1.1\r\n" + upgradeFields + fields + "\r\n"
}

var (
	dates   = regexp.MustCompile(`(?m)^Date: .*\r\n`)
	retries = regexp.MustCompile(`(?m)^Retry-After: (.*)\r\n`)
)

// A client cannot tell from how it is turned away which driver holds the connections.
func TestRefusalsAreTheSameOnBothDrivers(t *testing.T) {
	for name, tc := range map[string]struct {
		options weir.ServerOptions
		request string
		status  string
	}{
		"origin":              {request: upgradeRequest(wsQuery, keyFields+"Origin: https://evil.example\r\n"), status: "400"},
		"malformed origin":    {request: upgradeRequest(wsQuery, keyFields+"Origin: a\x80b\r\n"), status: "400"},
		"version":             {request: upgradeRequest(wsQuery, "Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"), status: "400"},
		"no version":          {request: upgradeRequest(wsQuery, ""), status: "400"},
		"key":                 {request: upgradeRequest(wsQuery, "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n"), status: "400"},
		"transport":           {request: upgradeRequest("?EIO=4&transport=smoke", keyFields), status: "400"},
		"no transport":        {request: upgradeRequest("", keyFields), status: "400"},
		"polling":             {request: upgradeRequest("?EIO=4&transport=polling", keyFields), status: "400"},
		"unknown session":     {request: upgradeRequest(wsQuery+"&sid=AAAAaaaaaaaaaaaaaaaaaaaa", keyFields), status: "400"},
		"nonsense session":    {request: upgradeRequest(wsQuery+"&sid=%00", keyFields), status: "400"},
		"no websocket here":   {options: weir.ServerOptions{SocketIO: weir.SocketIOOptions{Transports: []string{"polling"}}}, request: upgradeRequest(wsQuery, keyFields), status: "400"},
		"allowed by CORS":     {options: weir.ServerOptions{Origins: []string{"https://good.example"}, Credentials: true}, request: upgradeRequest(wsQuery, "Origin: https://good.example\r\n"), status: "400"},
		"outside of the path": {request: strings.Replace(upgradeRequest(wsQuery, keyFields+"Connection: close\r\n"), "/socket.io/", "/elsewhere", 1), status: "404"},
		"host of nobody":      {request: strings.Replace(upgradeRequest(wsQuery, keyFields), "Host: weir", "Host: a b", 1), status: "400"},
		"long header":         {request: upgradeRequest(wsQuery, keyFields+"X: "+strings.Repeat("x", 40_000)+"\r\n"), status: "431"},
		"Engine.IO 3":         {request: upgradeRequest("?EIO=3&transport=websocket", keyFields), status: "101"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.options.Namespaces = []weir.NamespaceOptions{{Path: "/"}}
			answers := make(map[string]weir.Driver)
			for d, srv := range onDrivers(t, tc.options) {
				answer := dates.ReplaceAllString(exchange(t, addr(srv), tc.request), "")
				if !strings.HasPrefix(answer, "HTTP/1.1 "+tc.status+" ") {
					t.Errorf("%s: answer %q, want status %s", d, answer, tc.status)
				}
				answers[answer] = d
			}
			if len(answers) != 1 {
				for answer, d := range answers {
					t.Errorf("%s:\n%s", d, answer)
				}
			}
		})
	}
}

func TestDrainingIsToldOnBothDrivers(t *testing.T) {
	answers := make(map[string]bool)
	for d, srv := range onDrivers(t, weir.ServerOptions{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}) {
		// A client that stays keeps the server draining.
		p := dial(t, addr(srv), "/", nil, dialOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_ = srv.Drain(ctx) // it goes on
		answer := dates.ReplaceAllString(exchange(t, addr(srv), upgradeRequest(wsQuery, keyFields)), "")
		retry := retries.FindStringSubmatch(answer)
		if retry == nil {
			t.Fatalf("%s: no Retry-After in %q", d, answer)
		}
		if after, err := strconv.Atoi(retry[1]); err != nil || after < 5 || after > 8 {
			t.Errorf("%s: Retry-After %q, want 5 to 8 s", d, retry[1])
		}
		answers[retries.ReplaceAllString(answer, "")] = true
		_ = p.conn.Close()
	}
	if len(answers) != 1 {
		t.Errorf("answers differ: %v", answers)
	}
}

// One connection may ask for other things before it becomes a websocket, and other
// things than websockets are asked of the port.
func TestUpgradeAsTheSecondRequestOfAConnection(t *testing.T) {
	for d, srv := range onDrivers(t, weir.ServerOptions{Origins: []string{"https://good.example"}, Namespaces: []weir.NamespaceOptions{{Path: "/"}}}) {
		t.Run(string(d), func(t *testing.T) {
			conn := connect(t, addr(srv))
			in := bufio.NewReader(conn)
			ask := func(text string) (status int, body string) {
				t.Helper()
				if _, err := io.WriteString(conn, text); err != nil {
					t.Fatal(err)
				}
				method, _, _ := strings.Cut(text, " ")
				resp, err := http.ReadResponse(in, &http.Request{Method: method})
				if err != nil {
					t.Fatal(err)
				}
				defer func() { _ = resp.Body.Close() }()
				if resp.StatusCode == http.StatusSwitchingProtocols {
					return resp.StatusCode, ""
				}
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode, string(b)
			}
			if status, _ := ask("HEAD /socket.io/socket.io.js HTTP/1.1\r\nHost: weir\r\n\r\n"); status != http.StatusOK {
				t.Errorf("HEAD of the client file: %d", status)
			}
			preflight := "OPTIONS /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: weir\r\nOrigin: https://good.example\r\nAccess-Control-Request-Method: POST\r\n\r\n"
			if status, _ := ask(preflight); status != http.StatusNoContent {
				t.Errorf("preflight: %d", status)
			}
			_, open := ask("GET /socket.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: weir\r\n\r\n")
			sid := regexp.MustCompile(`"sid":"([^"]+)"`).FindStringSubmatch(open)
			if sid == nil {
				t.Fatalf("handshake over polling: %q", open)
			}
			if _, body := ask("POST /socket.io/?EIO=4&transport=polling&sid=" + sid[1] + " HTTP/1.1\r\nHost: weir\r\nContent-Length: 2\r\n\r\n40"); body != "ok" {
				t.Errorf("POST: %q", body)
			}
			if status, _ := ask(upgradeRequest(wsQuery+"&sid="+sid[1], keyFields)); status != http.StatusSwitchingProtocols {
				t.Fatalf("upgrade: %d", status)
			}
			p := &peer{t: t, conn: conn, in: in, dec: ws.NewDecoder(64<<20, ws.Client)}
			p.send("2probe")
			if m := p.next(); m != "3probe" {
				t.Fatal(m)
			}
			p.send("5")
			if m := p.next(); !strings.HasPrefix(m, "40{") {
				t.Fatal(m)
			}
		})
	}
}

// Every shard gets its share of the websockets, whatever else is asked of the port
// between them: a page with each, here.
func TestWebSocketsSpreadOverShardsWhateverComesBetween(t *testing.T) {
	const clients = 40
	for d, srv := range onDrivers(t, weir.ServerOptions{Namespaces: []weir.NamespaceOptions{{Path: "/"}}}) {
		t.Run(string(d), func(t *testing.T) {
			counts := make(map[string]int)
			for range clients {
				exchange(t, addr(srv), "GET /socket.io/socket.io.js HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n")
				counts[dial(t, addr(srv), "/", nil, dialOptions{}).sid[:2]]++ // which names the shard
			}
			if len(counts) != 2 {
				t.Errorf("%d clients are spread %v over 2 shards", clients, counts)
			}
		})
	}
}

// The address a client is known by is the same on both drivers, also behind a port for
// both kinds of addresses.
func TestHandshakeAddressIsTheSameOnBothDrivers(t *testing.T) {
	seen := make(chan string, 1)
	note := func(s *weir.Server) {
		s.Namespace("/").OnConnect(func(_ context.Context, s *weir.Socket) error {
			seen <- s.Handshake().Address.String()
			return nil
		})
	}
	for d, srv := range onDrivers(t, weir.ServerOptions{Addr: "[::]:0", Namespaces: []weir.NamespaceOptions{{Path: "/"}}}, note) {
		_, number, err := net.SplitHostPort(addr(srv))
		if err != nil {
			t.Fatal(err)
		}
		for _, host := range []string{"127.0.0.1", "::1"} {
			p := dial(t, net.JoinHostPort(host, number), "/", nil, dialOptions{})
			if got := <-seen; got != p.conn.LocalAddr().String() {
				t.Errorf("%s: address %s, want %s", d, got, p.conn.LocalAddr())
			}
		}
	}
}
