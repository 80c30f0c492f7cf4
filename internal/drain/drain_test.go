package drain_test

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/drain"
)

// herd leaves as soon as it is told, but for those who stay.
type herd struct {
	mu             sync.Mutex
	here, told     int
	stubborn       int // of those here, never leave
	fastest, calls int
}

func (h *herd) Here() (all, staying int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.here + h.stubborn, h.here
}

func (h *herd) SendAway(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = min(n, h.here)
	h.here, h.told = h.here-n, h.told+n
	h.fastest, h.calls = max(h.fastest, n), h.calls+1
}

func (h *herd) SentAway() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.told
}

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// However many ask, clients leave at the rate and never faster.
func TestDrainKeepsItsRateHoweverManyAsk(t *testing.T) {
	for _, rate := range []int{1, 3, 20, 199, 200, 1000, 12345} {
		synctest.Test(t, func(t *testing.T) {
			h := &herd{here: 10 * rate}
			d := drain.New(drain.Options{Herd: h, PerSecond: rate, Timeout: time.Minute, Linger: time.Hour, Logger: silent()})
			for range 3 {
				go d.Run(nil)
			}
			for ms := 500; ms <= 10_000; ms += 500 {
				time.Sleep(500 * time.Millisecond)
				synctest.Wait()
				if got, want := h.SentAway(), rate*ms/1000; got != want {
					t.Fatalf("%d a second: %d sent away after %d ms, want %d", rate, got, ms, want)
				}
			}
			<-d.Done()
			if p := d.Progress(); p.Took.Round(time.Second) != 10*time.Second || p.Left != 0 || p.CutAtTimeout != 0 || p.SentAway != 10*rate {
				t.Errorf("%d a second: %+v", rate, p)
			}
		})
	}
}

func TestDrainTellsHowLongItTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &herd{here: 1000}
		d := drain.New(drain.Options{Herd: h, PerSecond: 200, Timeout: time.Minute, Logger: silent()})
		if p := d.Progress(); p.Draining || p.Left != 1000 || p.SecondsLeft != 5 {
			t.Errorf("before it begins: %+v", p)
		}
		go d.Run(nil)
		<-d.Began()
		if p := d.Progress(); !p.Draining || p.Clients != 1000 || p.SecondsLeft != 5 || p.CutAtTimeout != 0 {
			t.Errorf("at its start: %+v", p)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if p := d.Progress(); p.Clients != 1000 || p.Left != 600 || p.SentAway != 400 || p.SecondsLeft != 3 {
			t.Errorf("after two seconds: %+v", p)
		}
		<-d.Done()
	})
}

// What the time-out will cut is said when the drain begins, and counted when it has.
func TestDrainSaysWhatItsTimeoutWillCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		h := &herd{here: 1000}
		d := drain.New(drain.Options{Herd: h, PerSecond: 200, Timeout: 2 * time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		d.Run(nil)
		for _, want := range []string{"level=WARN", "clients=1000", "seconds=2", "cut_at_timeout=600", "drain.timeoutMs"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log does not say %s: %s", want, &log)
			}
		}
		if p := d.Progress(); p.Took != 2*time.Second || p.CutAtTimeout < 600 || p.CutAtTimeout > 602 || p.SecondsLeft != 0 {
			t.Errorf("%+v", p)
		}
	})
}

// Who was told to leave has some seconds for the last packets, and no more than there are until the time-out: a polling
// session that never asks again holds nobody up.
func TestDrainWaitsSomeSecondsForThoseWhoDoNotLeave(t *testing.T) {
	for _, c := range []struct{ timeout, least, most time.Duration }{
		{time.Minute, 15 * time.Second, 15*time.Second + 200*time.Millisecond},
		{5 * time.Second, 5 * time.Second, 5 * time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &herd{here: 10, stubborn: 3}
			d := drain.New(drain.Options{Herd: h, PerSecond: 200, Timeout: c.timeout, Linger: 15 * time.Second, Logger: silent()})
			d.Run(nil)
			if p := d.Progress(); p.Took < c.least || p.Took > c.most || p.CutAtTimeout != 3 || p.SentAway != 10 {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestDrainEndsWithItsServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stop := make(chan struct{})
		d := drain.New(drain.Options{Herd: &herd{here: 1000}, PerSecond: 1, Timeout: time.Hour, Logger: silent()})
		go d.Run(stop)
		<-d.Began()
		close(stop)
		<-d.Done()
	})
}
