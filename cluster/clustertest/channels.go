package clustertest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/streamweir/weir/cluster"
)

func testMessages(t *testing.T, r *rig) {
	a, b, c := r.trio(t)
	a.subscribe("one")
	b.subscribe("one", "two")
	b.subscribe("two") // again: it is no second subscription
	c.subscribe("end")
	a.publish("one", "1")
	c.publish("two", "2")
	a.publish("three", "3")
	a.has("one", "1")
	b.has("one", "1")
	b.has("two", "2")
	a.publish("end", "x")
	c.has("end", "x")
	if c.heard("one")+c.heard("two") > 0 {
		t.Error("who has not subscribed gets messages")
	}
	b.Unsubscribe("two", "never")
	b.subscribe("end")
	c.publish("two", "lost")
	c.publish("end", "y")
	b.has("end", "y")
	b.has("two", "2")
}

// No byte of a name means anything, and a channel is not a log.
func testNames(t *testing.T, r *rig) {
	a := r.join(t, "a")
	names := []string{"x", "*", "x*", "[x]", "x.y", "x.>", "{x}", "{}", "x y", "x\ny", "ü", "\xff\x01", strings.Repeat("n", cluster.MaxName)}
	a.subscribe(names...)
	a.follow(names...)
	for i, name := range names {
		a.publish(name, fmt.Sprint(i))
		a.put(name, "log")
	}
	for i, name := range names {
		a.has(name, fmt.Sprint(i))
		a.until("an entry came", func() bool { return len(a.entries[name]) == 1 })
		if got := a.whole(name); len(got) != 1 || got[0] != "log" {
			t.Errorf("log %q has %q", name, got)
		}
	}
}

func testOrder(t *testing.T, r *rig) {
	const each = 300
	a, b, c := r.trio(t)
	var want [3][]string
	var all sync.WaitGroup
	for i, n := range []*node{a, b, c} {
		n.subscribe("0", "1", "2")
		for k := range each {
			want[i] = append(want[i], fmt.Sprint(k))
		}
	}
	for i, n := range []*node{a, b, c} {
		all.Go(func() {
			for _, data := range want[i] {
				n.publish(fmt.Sprint(i), data)
			}
		})
	}
	all.Wait()
	for _, n := range []*node{a, b, c} {
		for i := range want {
			n.has(fmt.Sprint(i), want[i]...)
		}
	}
}

func testData(t *testing.T, r *rig) {
	a := r.join(t, "a")
	a.subscribe("x")
	a.follow("x")
	var all strings.Builder
	for i := range 3 << 20 {
		all.WriteByte(byte(i ^ i>>8))
	}
	data := []string{"", "\x00\r\n\xff", all.String(), ""}
	for _, d := range data {
		a.publish("x", d)
	}
	a.has("x", data...)
	at := a.put("x", data...)
	for i, d := range a.whole("x") {
		if d != data[i] {
			t.Errorf("entry %d at %+v is another", i, at[i])
		}
	}
	a.until("all entries came", func() bool { return len(a.entries["x"]) == len(data) })
	for i, e := range a.entries["x"] {
		if string(e.Data) != data[i] || e.Position != at[i] {
			t.Errorf("live entry %d at %+v is another, want %+v", i, e.Position, at[i])
		}
	}
}

func testUnsubscribe(t *testing.T, r *rig) {
	a, b, _ := r.trio(t)
	over := make(chan struct{})
	var publisher sync.WaitGroup
	publisher.Go(func() {
		for {
			select {
			case <-over:
				return
			default:
				a.publish("x", "data")
			}
		}
	})
	for range 20 {
		had := b.heard("x")
		b.subscribe("x")
		b.until("messages came", func() bool { return len(b.messages["x"]) > had })
		b.Unsubscribe("x")
	}
	close(over)
	publisher.Wait()
	b.subscribe("end")
	b.publish("end", "1")
	b.has("end", "1") // what was on its way is here
	had := b.heard("x")
	a.publish("x", "late")
	a.publish("end", "2")
	b.has("end", "1", "2")
	if b.heard("x") != had {
		t.Error("messages come after the subscription has ended")
	}
}

func testInvalid(t *testing.T, r *rig) {
	a := r.join(t, "a")
	large := make([]byte, cluster.MaxData+1)
	k := cluster.AppendOptions{Keep: 1}
	ctx := t.Context()
	appends := func(log string, o cluster.AppendOptions, data ...[]byte) error {
		_, err := a.Append(ctx, log, o, data...)
		return err
	}
	_, read := a.Read(ctx, "", 0, cluster.Limit{})
	for what, err := range map[string]error{
		"publish on no channel":       a.Publish(ctx, "", nil),
		"publish on a name too long":  a.Publish(ctx, strings.Repeat("x", cluster.MaxName+1), nil),
		"publish on a name with a 0":  a.Publish(ctx, "x\x00", nil),
		"publish too much":            a.Publish(ctx, "x", large),
		"subscribe to no channel":     a.Subscribe(ctx, "x", ""),
		"follow no log":               a.Follow(ctx, ""),
		"append to no log":            appends("", k, nil),
		"append nothing":              appends("x", k),
		"append too much":             appends("x", k, nil, large),
		"append to be kept by nobody": appends("x", cluster.AppendOptions{}, nil),
		"append above all":            appends("x", cluster.AppendOptions{Keep: 1, Above: cluster.MaxOffset}, nil),
		"read no log":                 read,
	} {
		if !errors.Is(err, cluster.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := a.read("x", 0); len(got) > 0 {
		t.Errorf("what was refused is in the log: %v", got)
	}
}

func testClose(t *testing.T, r *rig) {
	a, b, _ := r.trio(t)
	b.subscribe("x")
	b.follow("x")
	b.Close()
	b.Close()
	a.publish("x", "1")
	a.put("x", "1")
	a.subscribe("x")
	a.publish("x", "2")
	a.has("x", "2")
	if b.heard("x") > 0 {
		t.Error("a closed member's listener is called")
	}
	_, err := b.Append(t.Context(), "x", cluster.AppendOptions{Keep: 1}, nil)
	_, read := b.Read(t.Context(), "x", 0, cluster.Limit{})
	for what, err := range map[string]error{
		"publish": b.Publish(t.Context(), "x", nil), "subscribe": b.Subscribe(t.Context(), "x"), "follow": b.Follow(t.Context(), "x"),
		"append": err, "read": read,
	} {
		if !errors.Is(err, cluster.ErrClosed) {
			t.Errorf("%s of a closed member: %v", what, err)
		}
	}
}
