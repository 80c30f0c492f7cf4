package transport_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/transport"
	"github.com/streamweir/weir/internal/wire/eio"
	"github.com/streamweir/weir/internal/wire/ws"
)

func answerOf(t *testing.T, x *transport.Exchange) transport.Answer {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 100 { // an answer that is there may lose against the end of the context
		if a, err := x.Wait(ctx, &neverDone{}); err == nil {
			return a
		}
	}
	t.Fatal("not answered")
	return transport.Answer{}
}

// neverDone is the loop of a test that has none.
type neverDone struct{ base.Loop }

func (*neverDone) Done() <-chan struct{} { return nil }

func TestPollingWindowIsOpenWhileAGetWaits(t *testing.T) {
	var p transport.Polling
	frames := ws.AppendFrame(ws.AppendFrame(nil, ws.Text, []byte("4x")), ws.Binary, []byte{1, 2, 3})
	if n, err := p.Write(frames, base.Packable); p.Window() != 0 || n != 0 || err != nil {
		t.Errorf("no GET: window %d, write %d, %v", p.Window(), n, err)
	}
	first, second, third := transport.NewExchange(), transport.NewExchange(), transport.NewExchange()
	if !p.Get(first) || p.Window() == 0 || p.Get(second) {
		t.Fatal("one GET waits at a time")
	}
	if n, err := p.Write(frames, base.Packable); n != len(frames) || err != nil {
		t.Fatalf("write %d, %v", n, err)
	}
	if a := answerOf(t, first); string(a.Body) != "4x\x1ebAQID" || !a.Packets {
		t.Errorf("answer %q", a.Body)
	}
	// The response is under way: the next GET waits, but nothing may overtake.
	if !p.Get(second) || p.Window() != 0 || !p.Writing() || p.Unsent() != 8 || p.Get(third) {
		t.Errorf("window %d, writing %v, unsent %d", p.Window(), p.Writing(), p.Unsent())
	}
	if got := p.Progress(); got != (transport.Progress{Given: 8}) {
		t.Errorf("progress %+v", got)
	}
	if p.Done(first, nil) || p.Window() == 0 || p.Writing() {
		t.Error("the window stays closed after the response was written")
	}
	if got := p.Progress(); got != (transport.Progress{Given: 8, Left: 8, Taken: 8}) {
		t.Errorf("progress %+v", got)
	}
	if !p.EndGet(eio.Noop) || p.EndGet(eio.Noop) || string(answerOf(t, second).Body) != "6" {
		t.Error("noop")
	}
	if !p.Done(second, io.ErrClosedPipe) || p.Done(third, io.ErrClosedPipe) {
		t.Error("a response that failed is lost, one that was not ours is not")
	}
	if p.Get(third); !p.Done(third, context.Canceled) || p.Busy() {
		t.Error("a GET that is given up is a loss")
	}
}

func TestPollingTakesOnePost(t *testing.T) {
	var p transport.Polling
	first, second := transport.NewExchange(), transport.NewExchange()
	if !p.BeginPost(first) || p.BeginPost(second) || p.EndPost(second, transport.OK) {
		t.Fatal("one POST at a time")
	}
	if a := answerOf(t, first); a.Status != transport.Continue.Status {
		t.Errorf("answer %+v", a)
	}
	if !p.EndPost(first, transport.OK) || string(answerOf(t, first).Body) != "ok" || p.Busy() {
		t.Error("the POST was not answered")
	}
}

func TestEncodingFollowsTheClientsWeights(t *testing.T) {
	for header, want := range map[string]string{
		"":                                  "",
		"gzip":                              "gzip",
		"deflate":                           "deflate",
		"deflate, gzip":                     "gzip",
		"GZIP;q=0.1":                        "gzip",
		"gzip;q=0, deflate":                 "deflate",
		"gzip;q=0.0":                        "",
		"gzip;q=x":                          "",
		"*":                                 "gzip",
		"*;q=0":                             "",
		"gzip;q=0, *":                       "deflate",
		"br, identity":                      "",
		"gzip ; q = 1 , deflate;level=9":    "gzip",
		strings.Repeat("br,", 100) + "gzip": "gzip",
	} {
		if got := transport.Encoding(http.Header{"Accept-Encoding": {header}}); got != want {
			t.Errorf("%.40q: %q, want %q", header, got, want)
		}
	}
}

func TestReadBodyDoesNotTrustTheDeclaredLength(t *testing.T) {
	w := httptest.NewRecorder()
	r := httptest.NewRequest("POST", "/", strings.NewReader("short"))
	r.ContentLength = 1 << 30
	if _, err := transport.ReadBody(w, r, 100, time.Second, nil); !errors.Is(err, transport.ErrBodyTooLarge) {
		t.Errorf("declared too long: %v", err)
	}
	r.ContentLength = 50
	if body, err := transport.ReadBody(w, r, 100, time.Second, nil); string(body) != "short" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
	r = httptest.NewRequest("POST", "/", io.MultiReader(strings.NewReader(strings.Repeat("x", 101))))
	if _, err := transport.ReadBody(w, r, 100, time.Second, nil); !errors.Is(err, transport.ErrBodyTooLarge) {
		t.Errorf("too long without a declaration: %v", err)
	}
}

// The last GET of a session can come before its loop has heard that the response before it was written.
func TestLastGetIsToldEverythingThoughAResponseIsUnderWay(t *testing.T) {
	var p transport.Polling
	first, last := transport.NewExchange(), transport.NewExchange()
	p.Get(first)
	if _, err := p.Write(ws.AppendFrame(nil, ws.Text, []byte("4x")), base.Packable); err != nil {
		t.Fatal(err)
	}
	p.Get(last)
	if !p.EndGetWith([]byte("4last words"), eio.Close) {
		t.Error("no GET waits")
	}
	if a := answerOf(t, last); string(a.Body) != "4last words\x1e1" {
		t.Errorf("the last GET is answered %q", a.Body)
	}
}
