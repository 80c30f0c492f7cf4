package hook_test

import (
	"crypto/x509"
	"net"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/hook"
)

// front passes connections on to a backend. While it is mute it takes new ones and says nothing, and what comes over old
// ones is lost with all that follows.
type front struct {
	to   string
	mute atomic.Bool

	listener net.Listener
	runs     sync.WaitGroup
	mu       sync.Mutex
	conns    []net.Conn
}

func newFront(t *testing.T, to string) *front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{to: to, listener: l}
	f.runs.Go(f.accept)
	t.Cleanup(func() {
		_ = l.Close()
		f.mu.Lock()
		for _, c := range f.conns {
			_ = c.Close()
		}
		f.mu.Unlock()
		f.runs.Wait()
	})
	return f
}

func (f *front) keep(c net.Conn) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
}

func (f *front) accept() {
	for {
		c, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.keep(c)
		if f.mute.Load() {
			continue
		}
		b, err := net.Dial("tcp", f.to)
		if err != nil {
			_ = c.Close()
			continue
		}
		f.keep(b)
		f.runs.Go(func() { f.pass(c, b) })
		f.runs.Go(func() { f.pass(b, c) })
	}
}

// pass hands on what comes until one of the two ends, or all is lost.
func (f *front) pass(to, from net.Conn) {
	buf := make([]byte, 4096)
	lost := false
	for {
		n, err := from.Read(buf)
		lost = lost || f.mute.Load()
		if err == nil && !lost {
			_, err = to.Write(buf[:n])
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

// A backend that says nothing for a while, or whose connections are lost without a word, is asked again once it is well.
func TestBackendThatWasMuteIsAskedAgain(t *testing.T) {
	for name, c := range map[string]struct{ http2, known bool }{
		"while TLS begins":       {},
		"over HTTP/1.1":          {known: true},
		"over HTTP/2":            {http2: true, known: true},
		"while HTTP/2 is agreed": {http2: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			backend := httptest.NewUnstartedServer(say(`{"allow":true}`))
			backend.EnableHTTP2 = c.http2
			backend.StartTLS()
			t.Cleanup(backend.Close)
			f := newFront(t, backend.Listener.Addr().String())
			roots := x509.NewCertPool()
			roots.AddCert(backend.Certificate())
			r := newRig(t, say(""), func(o *hook.ConnectOptions) {
				o.URL, o.Roots, o.Timeout, o.Max, o.After, o.Pause = "https://"+f.listener.Addr().String(), roots, 500*time.Millisecond, 2, 3, time.Millisecond
			})
			if c.known {
				r.askUntilAnswered(t)
			}
			f.mute.Store(true)
			for range 4 { // more than the connections there may be
				if _, err := r.ask(t, "t"); err == nil {
					t.Error("answered by a backend that is mute")
				}
			}
			f.mute.Store(false)
			r.askUntilAnswered(t)
		})
	}
}

// askUntilAnswered fails the test if no call is answered for as long as the test is patient.
func (r *rig) askUntilAnswered(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(patience); ; {
		_, err := r.ask(t, "t")
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("a backend that is well is not reached: %v, %+v", err, r.Stats().Results)
		}
	}
}
