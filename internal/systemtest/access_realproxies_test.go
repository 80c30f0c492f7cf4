package systemtest_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// program is the path of a proxy that make deps installs; a machine without it skips the test.
func program(t *testing.T, name string) string {
	t.Helper()
	for _, path := range []string{name, "/usr/sbin/" + name} {
		if found, err := exec.LookPath(path); err == nil {
			return found
		}
	}
	t.Skip("there is no " + name + " here: make deps installs it")
	return ""
}

// freePorts are ports of this machine on which nobody listens now.
func freePorts(t *testing.T, n int) (ports []any) {
	t.Helper()
	var open []net.Listener
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, l)
		_, port, _ := net.SplitHostPort(l.Addr().String())
		ports = append(ports, port)
	}
	for _, l := range open {
		_ = l.Close()
	}
	return ports
}

// runProxy runs a program with a configuration, in which each %s is one of so many ports, until the test ends, and returns those
// ports. Another process may take one first: then it tries others.
func runProxy(t *testing.T, configuration string, n int, command func(file string) *exec.Cmd) (ports []string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "proxy.conf")
	var said bytes.Buffer
	for range 10 {
		free := freePorts(t, n)
		if err := os.WriteFile(file, fmt.Appendf(nil, configuration, free...), 0o600); err != nil {
			t.Fatal(err)
		}
		ports = nil
		for _, port := range free {
			ports = append(ports, port.(string))
		}
		said.Reset()
		cmd := command(file)
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		over := make(chan struct{})
		go func() {
			defer close(over)
			_ = cmd.Wait()
		}()
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			<-over
		})
		if listens(ports, over) {
			return ports
		}
	}
	t.Fatalf("it does not start:\n%s", said.String())
	return nil
}

// listens waits until somebody listens on ports; false: the process that should has ended.
func listens(ports []string, over <-chan struct{}) bool {
	for _, port := range ports {
		for {
			conn, err := net.Dial("tcp", "127.0.0.1:"+port)
			if err == nil {
				_ = conn.Close()
				break
			}
			select {
			case <-over:
				return false
			case <-time.After(10 * time.Millisecond):
			}
		}
	}
	return true
}

// behind is a connection to a proxy from an address that the proxy has to name, over TLS if that ends at the server.
func behind(t *testing.T, port string, over bool) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 5)}}
	conn, err := d.DialContext(t.Context(), "tcp", "127.0.0.1:"+port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if over {
		return tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // the tests' own certificates
	}
	return conn
}

// names checks that a server has the client's address through a proxy, over either transport, whatever the client claims itself.
func names(t *testing.T, srv *weir.Server, name, port string, over bool) {
	t.Helper()
	const claims = "X-Forwarded-For: 203.0.113.1, 127.0.0.1\r\nForwarded: for=203.0.113.2\r\n"
	for _, header := range []string{"", claims} {
		if got := addressOn(t, srv, behind(t, port, over), header); got != "127.0.0.5" {
			t.Errorf("%s, websocket, claiming %q: %s", name, header, got)
		}
		if code, text := status(t, behind(t, port, over), header); code != http.StatusForbidden {
			t.Errorf("%s, polling, claiming %q: %d %s", name, header, code, text)
		}
	}
	for _, v := range refusedNow(t, srv, "?kind=origin") {
		if v.Address != "127.0.0.5" {
			t.Errorf("%s, polling: %s", name, v.Address)
		}
	}
}

// TestRealProxiesTellTheAddress: nginx and HAProxy as their users configure them.
func TestRealProxiesTellTheAddress(t *testing.T) {
	nginx, haproxy := program(t, "nginx"), program(t, "haproxy")
	ways(t, func(t *testing.T, so weir.ServerOptions) {
		over := so.TLS != nil
		x := behindProxies(t, so, "127.0.0.1")
		so.Limits.ForwardedHeader = weir.ForwardedRFC7239
		rfc := behindProxies(t, so, "127.0.0.1")
		so.Limits.ForwardedHeader, so.ProxyProtocol = "", true
		introduced := behindProxies(t, so, "127.0.0.1")
		scheme, ssl := "http", ""
		if over {
			scheme, ssl = "https", "ssl verify none"
		}
		dir := t.TempDir()
		ports := runProxy(t, strings.NewReplacer("DIR", dir, "UPSTREAM", scheme+"://"+addr(x)).Replace(nginxConfiguration), 1, func(file string) *exec.Cmd {
			return exec.Command(nginx, "-p", dir, "-c", file, "-e", "stderr")
		})
		names(t, x, "nginx, X-Forwarded-For", ports[0], false)

		ports = runProxy(t, strings.NewReplacer("XFF", addr(x), "RFC", addr(rfc), "INTRODUCED", addr(introduced), "SSL", ssl).Replace(haproxyConfiguration), 4,
			func(file string) *exec.Cmd { return exec.Command(haproxy, "-db", "-f", file) })
		names(t, x, "HAProxy, X-Forwarded-For", ports[0], false)
		names(t, rfc, "HAProxy, Forwarded", ports[1], false)
		names(t, introduced, "HAProxy, PROXY 1", ports[2], over)
		names(t, introduced, "HAProxy, PROXY 2", ports[3], over)
	})
}

const nginxConfiguration = `
daemon off;
pid DIR/nginx.pid;
error_log stderr crit;
master_process off;
events {}
http {
  access_log off;
  client_body_temp_path DIR/body; proxy_temp_path DIR/proxy; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
  server {
    listen 127.0.0.1:%s;
    location / {
      proxy_pass UPSTREAM;
      proxy_http_version 1.1;
      proxy_ssl_protocols TLSv1.3;
      proxy_set_header Host $http_host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection "upgrade";
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    }
  }
}
`

const haproxyConfiguration = `
defaults
  timeout connect 10m
  timeout client 10m
  timeout server 10m
listen xff
  bind 127.0.0.1:%s
  mode http
  option forwardfor
  server weir XFF SSL
listen rfc7239
  bind 127.0.0.1:%s
  mode http
  http-request add-header Forwarded for=%%[src]
  server weir RFC SSL
listen v1
  bind 127.0.0.1:%s
  mode tcp
  server weir INTRODUCED send-proxy
listen v2
  bind 127.0.0.1:%s
  mode tcp
  server weir INTRODUCED send-proxy-v2
`
