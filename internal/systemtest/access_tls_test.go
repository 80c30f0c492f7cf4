package systemtest_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir"
)

// authority signs certificates.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t}
	a.cert, a.key = a.sign("a test's authority", time.Now().Add(time.Hour))
	return a
}

// sign makes a certificate for 127.0.0.1; the first is the authority's own.
func (a *authority) sign(name string, ends time.Time) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: ends.Add(-400 * 24 * time.Hour), NotAfter: ends,
		IsCA: a.cert == nil, BasicConstraintsValid: true,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

func certificatePEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

// place writes a certificate of that name and its key to dir, one after the other, as a careless script would.
func (a *authority) place(dir, name string, ends time.Time) *weir.TLSOptions {
	a.t.Helper()
	cert, key := a.sign(name, ends)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	o := &weir.TLSOptions{CertFile: filepath.Join(dir, "chain.pem"), KeyFile: filepath.Join(dir, "key.pem")}
	a.write(o.CertFile, certificatePEM(cert))
	a.write(o.KeyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	return o
}

// write puts a file in place whole: one that is written over may be read while it is empty, which is another bad file.
func (a *authority) write(path string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(path+".new", content, 0o600); err != nil {
		a.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		a.t.Fatal(err)
	}
}

func nextYear() time.Time { return time.Now().Add(365 * 24 * time.Hour) }

// over has the port of a server's options speak TLS, unless it is nil.
func over(port *weir.TLSOptions, o weir.Options) weir.Options {
	if port != nil {
		o.Servers = []weir.ServerOptions{{TLS: port, Namespaces: o.Namespaces}}
		o.Namespaces = nil
	}
	return o
}

// ports runs a test over a port in the clear and one that speaks TLS.
func ports(t *testing.T, name string, test func(t *testing.T, port *weir.TLSOptions)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { test(t, nil) })
	t.Run(name+" over TLS", func(t *testing.T) {
		test(t, newAuthority(t).place(t.TempDir(), "weir.example", nextYear()))
	})
}

// presented is the name in the certificate that a port presents.
func presented(t *testing.T, address string, config *tls.Config) string {
	t.Helper()
	conn, err := tls.Dial("tcp", address, config)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

func echo(n *weir.Namespace) {
	n.On("echo", func(ctx context.Context, s *weir.Socket, e *weir.Event) error {
		args, err := e.Values()
		if err != nil {
			return err
		}
		return s.Emit(ctx, "echo", args...)
	})
}

func TestCertificateIsRenewedUnderOpenConnections(t *testing.T) {
	a, dir, log := newAuthority(t), t.TempDir(), &logbook{}
	o := over(a.place(dir, "one.example", nextYear()), feed())
	o.Logger = log.logger()
	srv := start(t, o, func(s *weir.Server) { echo(s.Namespace("/feed")) })
	p := dial(t, addr(srv), "/feed", nil, dialOptions{})
	config := &tls.Config{RootCAs: a.pool()}
	if got := presented(t, addr(srv), config); got != "one.example" {
		t.Fatalf("presents %s", got)
	}
	a.place(dir, "two.example", nextYear())
	eventually(t, "the new certificate is noticed", func() bool { return presented(t, addr(srv), config) == "two.example" })
	a.place(dir, "three.example", nextYear())
	if err := srv.Reload(); err != nil {
		t.Error(err)
	}
	if got := presented(t, addr(srv), config); got != "three.example" {
		t.Errorf("after Reload it presents %s", got)
	}
	p.emit("/feed", -1, "echo", "still here")
	if got := p.next(); !strings.Contains(got, "still here") {
		t.Errorf("the connection from before got %q", got)
	}
	eventually(t, "the log says so", func() bool { return len(log.lines("certificate renewed", "two.example")) == 1 })
	if n := metric(t, srv, "weir_tls_certificate_reloads_total", `result="renewed"`); n != 2 {
		t.Errorf("%v renewals are counted", n)
	}
}

func TestBadCertificateLeavesTheOneBeforeInForce(t *testing.T) {
	a, dir, log := newAuthority(t), t.TempDir(), &logbook{}
	port := a.place(dir, "good.example", nextYear())
	o := over(port, feed())
	o.Logger = log.logger()
	srv := start(t, o)
	a.write(port.CertFile, []byte("nonsense"))
	if err := srv.Reload(); err == nil || !strings.Contains(err.Error(), port.CertFile) {
		eventually(t, "it was found before", func() bool { return len(log.lines("certificate refused", port.CertFile)) == 1 })
	}
	if got := presented(t, addr(srv), &tls.Config{RootCAs: a.pool()}); got != "good.example" {
		t.Errorf("presents %s", got)
	}
	if n := metric(t, srv, "weir_tls_certificate_reloads_total", `result="refused"`); n != 1 {
		t.Errorf("%v refusals are counted", n)
	}
	eventually(t, "the log says so", func() bool { return len(log.lines("certificate refused", "in force", "level=ERROR")) == 1 })
}

func TestEndOfACertificateIsToldInTime(t *testing.T) {
	for name, c := range map[string]struct {
		left  time.Duration
		level string // "": nothing is said
	}{
		"a year": {365 * 24 * time.Hour, ""}, "15 days": {15 * 24 * time.Hour, ""},
		"13 days": {13 * 24 * time.Hour, "WARN"}, "expired": {-time.Hour, "ERROR"},
	} {
		t.Run(name, func(t *testing.T) {
			log, ends := &logbook{}, time.Now().Add(c.left)
			o := over(newAuthority(t).place(t.TempDir(), "weir.example", ends), feed())
			o.Logger = log.logger()
			srv := start(t, o)
			if got, want := metric(t, srv, "weir_tls_certificate_expires_timestamp_seconds", `server="default"`), float64(ends.Unix()); got != want {
				t.Errorf("expires %v, want %v", got, want)
			}
			if c.level == "" {
				if lines := log.told(t, srv, "the certificate"); len(lines) > 0 {
					t.Errorf("told %v", lines)
				}
				return
			}
			eventually(t, "it is told", func() bool { return len(log.lines("the certificate", "level="+c.level, "weir.example")) == 1 })
		})
	}
}

func TestPollingAndUpgradesOverTLS(t *testing.T) {
	a := newAuthority(t)
	srv := start(t, over(a.place(t.TempDir(), "weir.example", nextYear()), feed()), func(s *weir.Server) {
		s.Namespace("/feed").OnConnect(func(ctx context.Context, s *weir.Socket) error {
			return s.Emit(ctx, "hello", s.Handshake().TLS)
		})
	})
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: a.pool()}}}
	defer client.CloseIdleConnections()
	url := "https://" + addr(srv) + "/socket.io/?EIO=4&transport=polling"
	open := get(t, client, url)
	sid := open[strings.Index(open, `"sid":"`)+7:]
	sid = sid[:strings.IndexByte(sid, '"')]
	resp, err := client.Post(url+"&sid="+sid, "text/plain", strings.NewReader("40/feed,"))
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", resp, err)
	}
	_ = resp.Body.Close()
	if got := get(t, client, url+"&sid="+sid); !strings.Contains(got, "40/feed,") {
		t.Errorf("polled %q", got)
	} else if !strings.Contains(got, `["hello",true]`) {
		if got = get(t, client, url+"&sid="+sid); !strings.Contains(got, `["hello",true]`) {
			t.Errorf("polled %q", got)
		}
	}
}

func get(t *testing.T, client *http.Client, url string) string {
	t.Helper()
	resp, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v, %s", resp.Status, err, b)
	}
	return string(b)
}

func TestManagementOverTLSWantsTheClientsCertificate(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	o := feed()
	o.Management = weir.ManagementOptions{Addr: "127.0.0.1:0", TLS: a.place(dir, "weir.example", nextYear()), Probes: "127.0.0.1:0"}
	o.Management.TLS.ClientCAFile = filepath.Join(dir, "ca.pem")
	a.write(o.Management.TLS.ClientCAFile, certificatePEM(a.cert))
	srv := start(t, o)
	ask := func(config *tls.Config) error {
		config.RootCAs = a.pool()
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
		defer client.CloseIdleConnections()
		resp, err := client.Get("https://" + srv.Addr("management").String() + "/api/stats")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				err = fmt.Errorf("answered %s", resp.Status)
			}
		}
		return err
	}
	if err := ask(&tls.Config{}); err == nil {
		t.Error("let in without a certificate")
	}
	with := func(a *authority) *tls.Config {
		cert, key := a.sign("an operator", nextYear())
		return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}}
	}
	if err := ask(with(newAuthority(t))); err == nil {
		t.Error("let in with a certificate of somebody else's")
	}
	if err := ask(with(a)); err != nil {
		t.Errorf("refused with the right certificate: %v", err)
	}
	if got := get(t, http.DefaultClient, "http://"+srv.Addr("probes").String()+"/healthz"); got == "" {
		t.Error("the probes say nothing")
	}
	http.DefaultClient.CloseIdleConnections()
}

func TestMountedServerHasTheTLSOfItsApplication(t *testing.T) {
	srv := start(t, feed(weir.TopicOptions{Name: "prices"}))
	web := httptest.NewTLSServer(srv)
	defer web.Close()
	speaksTLS(t, web.Listener.Addr())
	c := newLean(t, web.Listener.Addr().String(), "/feed", leanOptions{})
	defer func() { _ = c.conn.Close() }()
	if err := c.subscribe("/feed", "prices"); err != nil {
		t.Fatal(err)
	}
	for n := range 100 {
		publish(t, srv, "prices", numbered(n, 4000))
		if got := c.read(t, "prices", 1); got[0] != n {
			t.Fatalf("read %v, want %d", got, n)
		}
	}
}

// What an application has of TLS is served as it is, but HTTP/2, which has no websockets here.
func TestTLSOfAnApplicationsOwnMaking(t *testing.T) {
	a := newAuthority(t)
	cert, key := a.sign("own.example", nextYear())
	port := &weir.TLSOptions{Config: &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}}, NextProtos: []string{"h2", "http/1.1"},
	}}
	srv := start(t, over(port, feed()))
	if got := presented(t, addr(srv), &tls.Config{RootCAs: a.pool(), NextProtos: []string{"h2", "http/1.1"}}); got != "own.example" {
		t.Errorf("presents %s", got)
	}
	dial(t, addr(srv), "/feed", nil, dialOptions{})
	if err := srv.Reload(); err != nil {
		t.Error(err)
	}
}

func TestTLSOptionsAreRefusedWithASentence(t *testing.T) {
	a, dir := newAuthority(t), t.TempDir()
	good := a.place(dir, "weir.example", nextYear())
	with := func(change func(o *weir.TLSOptions)) *weir.TLSOptions {
		o := *good
		change(&o)
		return &o
	}
	for want, s := range map[string]weir.ServerOptions{
		"CertFile: empty":                     {Addr: ":0", TLS: &weir.TLSOptions{}},
		"CertFile: open nothing.pem":          {Addr: ":0", TLS: with(func(o *weir.TLSOptions) { o.CertFile = "nothing.pem" })},
		"MinVersion 0x302":                    {Addr: ":0", TLS: with(func(o *weir.TLSOptions) { o.MinVersion = tls.VersionTLS11 })},
		"MaxHandshakes -1":                    {Addr: ":0", TLS: with(func(o *weir.TLSOptions) { o.MaxHandshakes = -1 })},
		"Config: what it has is its own":      {Addr: ":0", TLS: with(func(o *weir.TLSOptions) { o.Config = &tls.Config{} })},
		"Config: has no certificate":          {Addr: ":0", TLS: &weir.TLSOptions{Config: &tls.Config{}}},
		"TLS needs a goroutine":               {Addr: ":0", TLS: good, Driver: weir.DriverEpoll},
		"without an Addr":                     {TLS: good},
		"KeyFile: private key":                {Addr: ":0", TLS: with(func(o *weir.TLSOptions) { o.KeyPassword = "for nothing" })},
		"ClientCAFile: open " + dir + "/none": {Addr: ":0", TLS: with(func(o *weir.TLSOptions) { o.ClientCAFile = dir + "/none" })},
	} {
		o := weir.Options{Servers: []weir.ServerOptions{s}, Logger: slog.New(slog.DiscardHandler)}
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
