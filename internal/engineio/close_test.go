package engineio_test

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/engineio"
)

func TestCloseOverPollingAnswersTheWaitingGet(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	waiting := h.waitingGet(q)
	h.do(func() {
		h.s.Close(base.CauseSlowConsumer)
		h.s.Close(base.CauseAdmin)
		if h.s.Window() != 0 {
			t.Error("the window is open after Close")
		}
	})
	(<-waiting).want(t, 200, "1")
	h.wantClosed(base.CauseSlowConsumer)
	r.request("GET", q, "").want(t, 400, unknownSID)
}

func TestCloseOverPollingWaitsForAGet(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	h.do(func() { h.s.Close(base.CauseAdmin) })
	r.request("POST", q, "4late").want(t, 400, unknownSID)
	r.advance(29 * time.Second)
	h.wantOpen()
	r.request("GET", q, "").want(t, 200, "1")
	h.wantClosed(base.CauseAdmin)

	h, _ = r.pollingSession()
	h.do(func() { h.s.Close(base.CauseAdmin) })
	r.advance(30 * time.Second)
	h.wantClosed(base.CauseAdmin)
	if got := r.server.Sessions(0); got != 0 {
		t.Errorf("%d sessions are left", got)
	}
}

func TestCloseOverWebSocketSendsWhatWasWrittenAndACloseFrame(t *testing.T) {
	r := newRig(t, nil)
	h, c := r.webSocketSession()
	h.send("41")
	h.do(func() { h.s.Close(base.CauseAdmin) })
	c.want("441")
	c.wantClosed()
	h.wantClosed(base.CauseAdmin)
}

func TestAbortEndsAtOnce(t *testing.T) {
	r := newRig(t, nil)
	h, c := r.webSocketSession()
	h.do(func() {
		h.s.Close(base.CauseAdmin)
		h.s.Abort(base.CauseSlowConsumer)
		h.s.Abort(base.CauseSlowConsumer)
	})
	c.want("close:")
	c.wantEOF()
	h.wantClosed(base.CauseAdmin)

	h, q := r.pollingSession()
	waiting := h.waitingGet(q)
	h.do(func() { h.s.Abort(base.CauseSlowConsumer) })
	(<-waiting).want(t, 200, "1")
	h.wantClosed(base.CauseSlowConsumer)
}

func TestServerCloseEndsEverySession(t *testing.T) {
	r := newRig(t, nil)
	idle, q := r.pollingSession()
	waits, q2 := r.pollingSession()
	waiting := waits.waitingGet(q2)
	h, c := r.webSocketSession()
	closed := make(chan error, 1)
	go func() { closed <- r.server.Close(t.Context()) }()
	(<-waiting).want(t, 200, "1")
	c.wantClosed()
	r.request("GET", newPolling, "").want(t, 503, `{"code":4,"message":"Server shutting down"}`)
	r.dialRaw(newWebSocket, upgradeHeaders).want(t, 503, "Server shutting down")
	r.request("GET", q, "").want(t, 200, "1") // the last one Close waits for
	if err := <-closed; err != nil {
		t.Error(err)
	}
	for _, h := range []*host{idle, waits, h} {
		h.wantClosed(base.CauseShutdown)
	}
	if err := r.server.Close(t.Context()); err != nil {
		t.Errorf("second close: %v", err)
	}
}

func TestServerCloseReachesASessionThatIsBeingOpened(t *testing.T) {
	r := newRig(t, nil)
	r.refuse = func(req *http.Request) *engineio.Refusal {
		if req.URL.Query().Has("closing") {
			return &engineio.Refusal{}
		}
		return nil
	}
	closed := make(chan error, 1)
	r.onAssign = func() { // admitted, not yet open
		go func() { closed <- r.server.Close(t.Context()) }()
		for r.request("GET", newPolling+"&closing", "").status != 503 {
			continue
		}
		r.loop.Do(func() {})
	}
	r.request("GET", newPolling, "").want(t, 200, "1")
	(<-r.opened).wantClosed(base.CauseShutdown)
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestServerCloseAbortsWhatIsLeftWhenTimeIsUp(t *testing.T) {
	r := newRig(t, nil)
	h, _ := r.pollingSession()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.server.Close(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	h.wantClosed(base.CauseShutdown)
}

func TestRequestsOfALoopThatIsDoneAreAnswered(t *testing.T) {
	r := newRig(t, nil)
	h, q := r.pollingSession()
	_, c := r.webSocketSession()
	waiting := h.waitingGet(q)
	r.loop.Stop()
	const gone = `{"code":4,"message":"Server shutting down"}`
	(<-waiting).want(t, 503, gone)
	r.request("GET", q, "").want(t, 503, gone)
	r.request("POST", q, "4x").want(t, 503, gone)
	r.request("GET", newPolling, "").want(t, 503, gone)
	if err := r.server.Close(t.Context()); err != nil {
		t.Error(err)
	}
	c.wantEOF()
}
