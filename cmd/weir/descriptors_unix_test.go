//go:build linux || darwin

package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestSoftLimitOfDescriptorsIsRaisedToTheHardOneAndBothAreLogged(t *testing.T) {
	before := noFile(t)
	lower := unix.Rlimit{Cur: before.Cur - 1, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &lower); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
			t.Error(err)
		}
	}()
	var log bytes.Buffer
	got := openDescriptors(slog.New(slog.NewTextHandler(&log, nil)))
	now := noFile(t)
	if now.Cur != now.Max || got.Soft != now.Cur || got.Hard != now.Max || now.Max != before.Max {
		t.Errorf("was %+v, told %+v, is %+v", lower, got, now)
	}
	if want := fmt.Sprintf("msg=descriptors soft=%d hard=%d", now.Cur, now.Max); !strings.Contains(log.String(), want) {
		t.Errorf("logged %s, want %s", &log, want)
	}
}

func noFile(t *testing.T) (l unix.Rlimit) {
	t.Helper()
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		t.Fatal(err)
	}
	return l
}
