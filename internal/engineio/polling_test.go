package engineio_test

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/engineio"
	"github.com/streamweir/weir/internal/wire/ws"
)

const unknownSID = `{"code":1,"message":"Session ID unknown"}`

func TestPollingCarriesMessagesBothWays(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	h.send("hello", "bye", "binary:\x01\x02\x03\x04")
	r.request("GET", q, "").want(t, 200, "4hello\x1e4bye\x1ebAQIDBA==")

	waiting := h.waitingGet(q)
	res := r.request("POST", q, "4one\x1ebAQID\x1e4two€", "Content-Type", "text/plain;charset=UTF-8")
	res.want(t, 200, "ok")
	if got := res.header.Get("Content-Type"); got != "text/html" {
		t.Errorf("Content-Type %q", got)
	}
	h.wantMessage("one")
	h.wantMessage("binary:\x01\x02\x03")
	h.wantMessage("two€")
	h.send("answer")
	(<-waiting).want(t, 200, "4answer")
}

// The official Java client breaks base64 every 76 characters and at the end; npm takes that, on a websocket too.
func TestBase64OfTheJavaClientIsRead(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	long := strings.Repeat(strings.Repeat("A", 76)+"\n", 2) + "AQID\n"
	r.request("POST", q, "451-[]\x1ebAQIDBA==\n\x1eb"+long).want(t, 200, "ok")
	h.wantMessage("51-[]")
	h.wantMessage("binary:\x01\x02\x03\x04")
	h.wantMessage("binary:" + strings.Repeat("\x00", 114) + "\x01\x02\x03")

	h, c := r.webSocketSession()
	c.send("bAQIDBA\r\n")
	h.wantMessage("binary:\x01\x02\x03\x04")
}

func TestPollingResponsesAreBounded(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	large := strings.Repeat("x", 100_000)
	small := strings.Repeat("y", 20_000)
	h.send(large, small, small, small, "binary:"+small)
	r.request("GET", q, "").want(t, 200, "4"+large) // one entry may exceed the window
	for i, want := range []int{2, 2} {
		res := r.request("GET", q, "")
		if got := strings.Count(res.body, "\x1e") + 1; got != want || len(res.body) > 64<<10 {
			t.Errorf("response %d: %d packets, %d bytes", i, got, len(res.body))
		}
	}
}

func TestPollingCompressesLargeResponses(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	large := strings.Repeat("abc", 400)
	for _, tc := range []struct {
		accept, encoding, message string
		decode                    func(r io.Reader) (io.Reader, error)
	}{
		{"gzip, deflate", "gzip", large, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"gzip;q=0, deflate;q=0.5", "deflate", large, func(r io.Reader) (io.Reader, error) { return zlib.NewReader(r) }},
		{"br, identity", "", large, func(r io.Reader) (io.Reader, error) { return r, nil }},
		{"gzip", "", "small", func(r io.Reader) (io.Reader, error) { return r, nil }},
	} {
		h.send(tc.message)
		res := r.request("GET", q, "", "Accept-Encoding", tc.accept)
		if got := res.header.Get("Content-Encoding"); got != tc.encoding {
			t.Errorf("%s: encoding %q, want %q", tc.accept, got, tc.encoding)
			continue
		}
		plain, err := tc.decode(bytes.NewReader([]byte(res.body)))
		if err != nil {
			t.Fatal(err)
		}
		if body, err := io.ReadAll(plain); err != nil || string(body) != "4"+tc.message {
			t.Errorf("%s: %.40q, %v", tc.accept, body, err)
		}
	}
}

func TestPollingOverlapEndsTheSession(t *testing.T) {
	t.Run("GET", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		first := h.waitingGet(q)
		r.request("GET", q, "").want(t, 400, "")
		(<-first).want(t, 200, "1")
		h.wantClosed(base.CauseTransportError)
		r.request("GET", q, "").want(t, 400, unknownSID)
	})
	t.Run("POST", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		waiting := h.waitingGet(q)
		first := r.halfPost(q, "4hal")
		r.request("POST", q, "4x").want(t, 400, "")
		(<-waiting).want(t, 200, "1")
		h.wantClosed(base.CauseTransportError)
		if _, err := io.WriteString(first.conn, "f"); err != nil {
			t.Fatal(err)
		}
		first.read(t)
		first.want(t, 400, unknownSID)
	})
}

func TestPollingRefusesOctetStreams(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	r.request("POST", q, "4x", "Content-Type", "application/octet-stream").want(t, 400, "")
	h.wantClosed(base.CauseTransportError)
}

func TestPollingLimitsBodies(t *testing.T) {
	r := newRig(t, func(o *engineio.Options) { o.MaxHTTPBufferSize = 100 })
	h, q := r.pollingSession()
	exact := strings.Repeat("x", 99)
	r.request("POST", q, "4"+exact).want(t, 200, "ok")
	h.wantMessage(exact)
	r.request("POST", q, "4x"+exact).want(t, 413, "")
	h.wantClosed(base.CauseTransportError)
	r.request("POST", q, "4x").want(t, 400, unknownSID)

	h, q = r.pollingSession() // the same without a declared length
	req, err := http.NewRequest("POST", r.http.URL+"/socket.io/"+q, io.MultiReader(strings.NewReader("4x"+exact)))
	if err != nil {
		t.Fatal(err)
	}
	res, err := r.http.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != 413 {
		t.Errorf("status %d", res.StatusCode)
	}
	h.wantClosed(base.CauseTransportError)
}

func TestPollingAnswersOtherMethods500(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	for _, method := range []string{"PUT", "DELETE", "OPTIONS", "HEAD"} {
		r.request(method, q, "").want(t, 500, "")
	}
	h.wantOpen()
}

func TestPollingClientThatLeavesEndsTheSession(t *testing.T) {
	t.Run("GET", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() {
			_, err := r.try(ctx, "GET", q, "")
			ended <- err
		}()
		h.until(func() bool { return h.s.Window() > 0 })
		cancel()
		h.wantClosed(base.CauseTransportError)
		if err := <-ended; err == nil {
			t.Error("the GET was answered")
		}
	})
	t.Run("POST", func(t *testing.T) {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		_ = r.halfPost(q, "4hal").conn.Close()
		h.wantClosed(base.CauseTransportError)
	})
}

func TestPollingBodyThatTricklesIsCutOff(t *testing.T) {
	r := newRig(t, func(o *engineio.Options) { o.BodyTimeout = 50 * time.Millisecond })
	h, q := r.pollingSession()
	a := r.halfPost(q, "4")
	a.read(t)
	a.want(t, http.StatusRequestTimeout, "")
	h.wantClosed(base.CauseTransportError)
	// One that nobody wants to read is not waited for either.
	a = r.raw(postHead(newPolling+"&sid=unknown", "4") + "\r\n4")
	a.want(t, 400, unknownSID)
	if _, err := io.Copy(io.Discard, a.in); err != nil {
		t.Fatal(err)
	}
}

func TestPollingStopsAtTheFirstBadPacket(t *testing.T) {
	for _, bad := range []string{"", "7x", "b!", "\x1e"} {
		r := newRig(t, nil)
		h, q := r.pollingSession()
		r.request("POST", q, "4good\x1e"+bad+"\x1e4never").want(t, 200, "ok")
		h.wantMessage("good")
		h.wantClosed(base.CauseParseError)
		r.request("GET", q, "").want(t, 400, unknownSID) // as the protocol's own test suite has it
		if len(h.messages) > 0 {
			t.Errorf("%q: a packet behind it was delivered", bad)
		}
	}
}

func TestPollingClientClosesByPacket(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	waiting := h.waitingGet(q)
	r.request("POST", q, "4last\x1e1").want(t, 200, "ok")
	(<-waiting).want(t, 200, "6")
	h.wantMessage("last")
	h.wantClosed(base.CauseTransportClose)
	r.request("GET", q, "").want(t, 400, unknownSID)
}

// What was queued before the fault is not lost with it: a CONNECT answer, most of all.
func TestWhatWasQueuedBeforeAFaultStillArrives(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	h.send("0{}")
	r.request("POST", q, "9").want(t, 200, "ok")
	r.request("POST", q, "4late").want(t, 400, unknownSID)
	r.request("GET", q, "").want(t, 200, "40{}\x1e1")
	h.wantClosed(base.CauseParseError)

	h, q = r.pollingSession()
	waiting := h.waitingGet(q)
	h.do(func() { h.queue = ws.AppendFrame(h.queue, ws.Text, []byte("40{}")) }) // written with the fault
	r.request("POST", q, "9").want(t, 200, "ok")
	(<-waiting).want(t, 200, "40{}")
	r.request("GET", q, "").want(t, 200, "1")
	h.wantClosed(base.CauseParseError)

	h, c := r.webSocketSession()
	h.do(func() { h.queue = ws.AppendFrame(h.queue, ws.Text, []byte("40{}")) })
	c.send("9")
	c.want("40{}", "close:")
	c.write(ws.Close, "")
	h.wantClosed(base.CauseParseError)
}

// A client's last POST and its GET come on two connections, and which is read first is luck.
func TestGetSentTogetherWithTheClosePacketIsAnswered(t *testing.T) {
	for range 8 {
		r := newRig(t, func(o *engineio.Options) { o.Straggle = time.Second / 2 }) // the default is short for a busy machine
		h, q := r.pollingSession()
		post := r.background("POST", q, "1")
		get := r.background("GET", q, "")
		(<-get).want(t, 200, "6")
		(<-post).want(t, 200, "ok")
		h.wantClosed(base.CauseTransportClose)
		r.request("GET", q, "").want(t, 400, unknownSID)
	}
	r := newRig(t, nil)
	h, q := r.pollingSession()
	r.request("POST", q, "1").want(t, 200, "ok")
	r.request("GET", q, "").want(t, 400, unknownSID)
	h.wantClosed(base.CauseTransportClose)
}

func TestPollingPauseHoldsThePostAndItsAnswer(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	h.do(h.s.Pause)
	post := r.background("POST", q, "4held")
	h.wantOpen()
	if len(h.messages) > 0 {
		t.Error("delivered while paused")
	}
	h.do(h.s.Resume)
	(<-post).want(t, 200, "ok")
	h.wantMessage("held")

	h.do(h.s.Pause)
	post = r.background("POST", q, "4lost")
	h.do(func() { h.s.Abort(base.CauseAdmin) })
	(<-post).want(t, 400, unknownSID)
	h.wantClosed(base.CauseAdmin)
}

// halfPost sends a POST whose body lacks one byte after part, and returns when
// the session waits for it.
func (r *rig) halfPost(query, part string) rawAnswer {
	r.t.Helper()
	a := r.raw(postHead(query, part) + "Expect: 100-continue\r\n\r\n")
	if a.status != http.StatusContinue {
		r.t.Fatalf("POST answered %d", a.status)
	}
	if _, err := io.WriteString(a.conn, part); err != nil {
		r.t.Fatal(err)
	}
	return a
}

func postHead(query, part string) string {
	return fmt.Sprintf("POST /socket.io/%s HTTP/1.1\r\nHost: weir\r\nContent-Length: %d\r\n", query, len(part)+1)
}

// Who sends and then leaves has sent it: a POST that had arrived is handled, whichever request the client gives up.
func TestPostOfALeaverIsHandled(t *testing.T) {
	for _, gives := range []string{"GET", "POST"} {
		t.Run(gives, func(t *testing.T) {
			r := newRig(t, nil)
			h, q := r.pollingSession()
			h.do(h.s.Pause)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			ended := make(chan struct{}, 2)
			for _, method := range []string{"GET", "POST"} {
				of := t.Context()
				if method == gives {
					of = ctx
				}
				go func() {
					_, _ = r.try(of, method, q, map[string]string{"POST": "4one\x1e4two"}[method]) // what it is answered does not matter
					ended <- struct{}{}
				}()
			}
			h.until(func() bool { return h.s.Holds() && h.s.Window() > 0 })
			leave()
			h.wantMessage("one")
			h.wantMessage("two")
			h.wantClosed(base.CauseTransportError)
			<-ended
			<-ended
		})
	}
}
