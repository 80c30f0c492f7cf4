package leaks_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/streamweir/weir/internal/leaks"
)

func TestMain(m *testing.M) { leaks.Main(m, http.DefaultClient.CloseIdleConnections) }

func TestGoroutineThatEndsLateIsNoLeak(t *testing.T) {
	ended := make(chan struct{})
	go func() {
		<-time.After(time.Second) // longer than goleak waits
		close(ended)
	}()
	if err := leaks.Find(time.Minute); err != nil {
		t.Error(err)
	}
	<-ended
}

func stay(until <-chan struct{}) { <-until }

func TestGoroutineThatDoesNotEndIsNamed(t *testing.T) {
	until := make(chan struct{})
	go stay(until)
	if err := leaks.Find(0); err == nil || !strings.Contains(err.Error(), "leaks_test.stay") {
		t.Errorf("found %v", err)
	}
	close(until)
	if err := leaks.Find(time.Minute); err != nil {
		t.Errorf("after its end: %v", err)
	}
}
