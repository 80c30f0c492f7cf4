package main

import (
	"strings"
	"sync/atomic"
	"testing"
)

func newLoop(clients, window int) *loop {
	l := &loop{
		job: job{Clients: clients, Window: window}, missing: make([]atomic.Int32, window),
		next: make([]atomic.Int64, clients), done: make(chan struct{}, window),
	}
	for i := range l.missing {
		l.missing[i].Store(int32(clients))
	}
	return l
}

func delivery(n string) []byte { return []byte(`42/feed,["tick",{"n":` + n + `,"t":0,"pad":""}]`) }

func TestMessageIsDoneWhenTheLastClientHasIt(t *testing.T) {
	l := newLoop(2, 1)
	first, second := l.reader(0), l.reader(1)
	for _, n := range []string{"0", "1"} {
		if err := first(delivery(n)); err != nil {
			t.Fatal(err)
		}
		if len(l.done) != 0 {
			t.Fatalf("message %s is done although one client lacks it", n)
		}
		if err := second(delivery(n)); err != nil {
			t.Fatal(err)
		}
		<-l.done
	}
	if all := l.all.Load(); all != 2 {
		t.Errorf("%d messages reached all, want 2", all)
	}
}

func TestBookRefusesGapsRepeatsAndStrangers(t *testing.T) {
	for name, text := range map[string][]byte{
		"gap": delivery("2"), "repeat": delivery("0"), "refusal": []byte(`42/feed,["weir:error",{"code":"forbidden"}]`),
	} {
		read := newLoop(1, 4).reader(0)
		if err := read(delivery("0")); err != nil {
			t.Fatal(err)
		}
		if err := read(text); err == nil || !strings.Contains(err.Error(), "got message") && !strings.Contains(err.Error(), "not a delivery") {
			t.Errorf("%s: %v, want an error that says so", name, err)
		}
	}
}
