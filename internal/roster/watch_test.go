package roster_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/streamweir/weir/internal/roster"
)

// A room is created before the first member joins and deleted after the last left,
// whichever shard says so.
func TestRoomsAreCreatedAndDeletedOnce(t *testing.T) {
	var told []string
	w := roster.NewWatch("/chat", func(ch roster.Change) {
		if ch.Namespace != "/chat" {
			t.Errorf("told of namespace %q", ch.Namespace)
		}
		told = append(told, fmt.Sprintf("%s %s %s", ch.Kind, ch.Room, ch.Socket))
	})
	w.Joined("red", "a")
	w.Joined("red", "b")
	w.Left("red", "a")
	w.Left("red", "b")
	w.Joined("red", "c")
	want := []string{
		"create-room red ", "join-room red a", "join-room red b", "leave-room red a", "leave-room red b", "delete-room red ",
		"create-room red ", "join-room red c",
	}
	if !slices.Equal(told, want) {
		t.Errorf("told %q, want %q", told, want)
	}
}

// Shards that change rooms at the same time are told of one after another, in the
// order of the changes: counted along, no room is ever less than empty.
func TestConcurrentChangesAreToldInOrder(t *testing.T) {
	members, telling := map[string]int{}, 0
	w := roster.NewWatch("/chat", func(ch roster.Change) {
		if telling++; telling != 1 {
			t.Error("told by two goroutines at the same time")
		}
		switch ch.Kind {
		case roster.Created, roster.Deleted:
			if members[ch.Room] != 0 {
				t.Errorf("%s of %s with %d members", ch.Kind, ch.Room, members[ch.Room])
			}
		case roster.Joined:
			members[ch.Room]++
		case roster.Left:
			members[ch.Room]--
		}
		telling--
	})
	var shards sync.WaitGroup
	for i := range 4 {
		shards.Go(func() { visit(w, fmt.Sprint("s", i)) })
	}
	shards.Wait()
	for room, n := range members {
		if n != 0 {
			t.Errorf("%d members left in %s", n, room)
		}
	}
}

// visit joins and leaves two rooms many times.
func visit(w *roster.Watch, socket string) {
	for range 500 {
		w.Joined("red", socket)
		w.Joined("blue", socket)
		w.Left("red", socket)
		w.Left("blue", socket)
	}
}

// Nobody asks: nothing is counted.
func TestNilWatchDoesNothing(*testing.T) {
	var w *roster.Watch
	w.Joined("red", "a")
	w.Left("red", "a")
}
