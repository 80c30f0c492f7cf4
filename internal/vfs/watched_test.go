package vfs_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/streamweir/weir/internal/vfs"
	"github.com/streamweir/weir/internal/vfs/memfs"
)

// What has been under way for longest is known while it hangs, whichever operation it is, and nothing is when all have returned.
func TestWatchedKnowsWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := memfs.New()
		w := vfs.Watch(m)
		f, err := w.Create("a")
		if err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		m.Hook(func(memfs.Op) error { <-release; return nil })
		began := time.Now()
		for _, do := range []func(){
			func() { _ = f.Sync() }, func() { _, _ = f.Write([]byte("x")) }, func() { _, _ = f.ReadAt(make([]byte, 1), 0) },
			func() { _ = f.Truncate(0) }, func() { _, _ = w.Create("b") }, func() { _, _ = w.Open("a") }, func() { _, _ = w.Append("a") },
			func() { _ = w.Rename("a", "c") }, func() { _ = w.Remove("a") }, func() { _, _ = w.List(".") }, func() { _ = w.SyncDir(".") },
			func() { _, _ = w.Lock("l") }, func() { _ = w.MkdirAll("d") },
		} {
			go do()
			synctest.Wait()
			time.Sleep(time.Second)
		}
		if what, since := w.Oldest(); what != "a sync" || !since.Equal(began) {
			t.Errorf("%q since %v, want a sync since %v", what, since, began)
		}
		close(release)
		synctest.Wait()
		if what, _ := w.Oldest(); what != "" {
			t.Errorf("%q hangs", what)
		}
		m.Hook(nil)
		hang := make(chan struct{})
		for _, x := range []struct {
			want string
			do   func()
		}{
			{"a write", func() { _, _ = f.Write([]byte("x")) }}, {"a read", func() { _, _ = f.ReadAt(make([]byte, 1), 0) }},
			{"making a file", func() { _, _ = w.Create("n") }}, {"a sync", func() { _ = w.SyncDir(".") }}, {"removing a file", func() { _ = w.Remove("n") }},
		} {
			m.Hook(func(memfs.Op) error { <-hang; return nil })
			go x.do()
			synctest.Wait()
			if what, since := w.Oldest(); what != x.want || !since.Equal(time.Now()) {
				t.Errorf("%q since %v, want %s", what, since, x.want)
			}
			hang <- struct{}{}
			synctest.Wait()
		}
	})
}
