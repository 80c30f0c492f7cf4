package delivery_test

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/delivery"
	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// again runs the test once more in a process of its own, and reports whether this is it.
func again(t *testing.T, attr *syscall.SysProcAttr) bool {
	t.Helper()
	const inside = "WEIR_TEST_AGAIN"
	if os.Getenv(inside) == t.Name() {
		return true
	}
	if os.Getuid() != 0 {
		t.Skip("only root may mount file systems and become somebody else")
	}
	program := os.Args[0]
	if attr.Credential != nil { // which may not look where it is
		program = filepath.Join(filepath.Dir(os.Getenv("WEIR_TEST_DIR")), "again.test")
		b, err := os.ReadFile(os.Args[0])
		must(t, errors.Join(err, os.WriteFile(program, b, 0o755))) //nolint:gosec // that is what it is for
	}
	cmd := exec.CommandContext(t.Context(), program, "-test.run", "^"+t.Name()+"$", "-test.v") //nolint:gosec // this very program
	cmd.Env = append(os.Environ(), inside+"="+t.Name())
	cmd.SysProcAttr = attr
	said, err := cmd.CombinedOutput()
	var ended *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &ended):
		t.Skipf("no process of that kind: %v", err)
	case strings.Contains(string(said), "--- SKIP"):
		t.Skipf("inside: %s", said)
	case err != nil || !strings.Contains(string(said), "--- PASS: "+t.Name()):
		t.Errorf("%v\n%s", err, said)
	}
	return false
}

// realDisk is a hub whose journal is in a directory, to be ended before the next one.
type realDisk struct {
	*rig
	j *journal.Journal
}

func newRealDisk(t *testing.T, dir string, fsync journal.Fsync) *realDisk {
	t.Helper()
	j, err := journal.Open(journal.Options{FS: vfs.Dir(dir), Fsync: fsync})
	if err != nil {
		t.Fatal(err)
	}
	o := options(2, onDisk("user:*", narrow(4)), onDisk("ticks", narrow(4)), onDisk("order:*", strict(8)), onDisk("orders", strict(8)))
	o.Open = func(d *delivery.Declared, topic string, deliver topiclog.Deliver) (topiclog.Log, error) {
		return openIn(j, d, topic, deliver, fsync)
	}
	d := &realDisk{newRig(t, o), j}
	t.Cleanup(d.end)
	if err := d.OpenLogs(t.Context()); err != nil {
		t.Fatal(err)
	}
	return d
}

func (d *realDisk) end() {
	d.Close()
	_ = d.j.Close()
}

// awaits has a topic's log opened.
func (d *realDisk) awaits(topic string) {
	d.t.Helper()
	if _, err := d.ns.Await(d.t.Context(), topic); err != nil {
		d.t.Fatal(err)
	}
}

// large is a payload that has no room in what is left of a page.
func large(n int) string { return fmt.Sprintf(`"%d%s"`, n, strings.Repeat("x", 8<<10)) }

// large publishes them.
func (d *realDisk) large(topic string, first, last int) {
	d.t.Helper()
	for n := first; n <= last; n++ {
		d.publish(topic, large(n))
	}
	d.settle()
}

// history reads all that the log of a topic has.
func (d *realDisk) history(topic string) (records int, lost bool) {
	d.t.Helper()
	for from := uint64(1); ; {
		b, err := d.ns.History(d.t.Context(), topic, delivery.HistoryQuery{From: from, Limit: topiclog.Limit{Records: 100, Bytes: 1 << 20}})
		must(d.t, err)
		records, lost = records+len(b.Placements), lost || b.Lost
		if from = b.Next + 1; b.End() {
			return records, lost
		}
	}
}

// numbersOf are the numbers of those that a client has read.
func numbersOf(c *client, topic string) (all []string) {
	for _, p := range sequence(c, topic) {
		all = append(all, strings.Trim(p, `"x`))
	}
	return all
}

// refusing is how a disk refuses, and why. It is set before the hub, or after it has published something.
type refusing struct {
	why   error
	set   func()
	unset func()
}

// What each party is told while a disk refuses: a reliable publisher fails with the reason; a best-effort one reaches
// who has room, and in the lanes that do not it is booked as spill_failed, and their clients told. It makes no
// difference whether the topic was used before, is new, or is of an earlier process. A position that is given meanwhile
// is never given again under the same name. When the disk takes appends, all is as before, and who reads the log learns
// that something is missing.
func (r *refusing) toldTo(t *testing.T, d *realDisk, used, newer, order string) {
	failed := 0
	for _, topic := range []string{used, newer} {
		if topic == "" {
			continue
		}
		d.awaits(topic)
		slow, quick := d.stalled(0), d.connect(1)
		slow.subscribe(slow.join(), topic, delivery.SubscribeOptions{Tell: true})
		quick.join(topic)
		before := 0
		if topic == used {
			before = 10
			d.large(topic, 1, before)
		}
		r.set()
		rejected := 0
		for n := before + 1; n <= before+10; n++ {
			what := d.publish(topic, large(n)).Receipt(t.Context())
			if rejected += what.Rejected; what.Spilled != 0 || what.Queued+what.Rejected != 2 {
				t.Errorf("%s: a best-effort publish is told %+v", topic, what)
			}
		}
		wantPayloads(t, topic+": who has room", numbersOf(quick, topic), counted(1, before+10))
		if want := map[bool]int{true: 10, false: 6}[topic == used]; rejected != want {
			t.Errorf("%s: %d rejected, want %d", topic, rejected, want)
		}
		if _, err := d.Publish(t.Context(), d.ns, order, &delivery.Publication{Payload: []byte(large(1))}, true); !errors.Is(err, delivery.ErrLog) || !errors.Is(err, r.why) ||
			!strings.Contains(err.Error(), order) {
			t.Errorf("a reliable publish is told %v, want %v", err, r.why)
		}
		failed += rejected
		r.unset()
		d.large(topic, before+11, before+20)
		slow.open(wide)
		d.caughtUp(slow, topic)
		first := max(before, 4)
		want := append(counted(1, first), counted(before+11, before+20)...)
		wantPayloads(t, topic+": who stalled", numbersOf(slow, topic), want)
		lost := 0
		for _, text := range slow.texts() {
			var count int
			if n, _ := fmt.Sscanf(text, `2/feed,["weir:lost",{"topic":"`+topic+`","count":%d,"reason":"spill_failed"}]`, &count); n == 1 {
				lost += count
			}
		}
		if lost != rejected {
			t.Errorf("%s: its client was told of %d lost messages, want %d", topic, lost, rejected)
		}
		if n, told := d.history(topic); !told || n != before+10 {
			t.Errorf("%s: who reads the log gets %d records, lost %t", topic, n, told)
		}
	}
	for _, name := range []string{"ticks", "user:*", "orders", "order:*"} {
		if n := d.totals(name); n.Spilled != 0 || n.Behind != 0 {
			t.Errorf("%s: %+v", name, n)
		}
	}
	if n := d.totals("ticks").Dropped[base.ReasonSpillFailed] + d.totals("user:*").Dropped[base.ReasonSpillFailed]; n != uint64(failed) || d.Unbalanced.Load() != 0 {
		t.Errorf("%d booked as spill_failed, %d unbalanced", n, d.Unbalanced.Load())
	}
	d.publish(order, "2")
}

// A real file system without room: see toldTo.
func TestRealDiskIsFullForNewAndOldTopics(t *testing.T) {
	if !again(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}) {
		return
	}
	dir := tmpfs(t)
	filler := filepath.Join(dir, "filler")
	full := &refusing{
		why:   syscall.ENOSPC,
		set:   func() { fillUp(t, filler) },
		unset: func() { must(t, os.Remove(filler)) },
	}
	d := newRealDisk(t, filepath.Join(dir, "journal"), journal.Interval)
	full.toldTo(t, d, "ticks", "user:1", "order:1")
	d.end()

	// A start on a disk that is full: what is published is told the same.
	fillUp(t, filler)
	d = newRealDisk(t, filepath.Join(dir, "journal"), journal.Interval)
	quick := d.connect(0)
	quick.join("ticks")
	kept, err := d.ns.Await(t.Context(), "ticks")
	must(t, err)
	started := d.publish("ticks", large(1))
	if _, err := d.Publish(t.Context(), d.ns, "orders", &delivery.Publication{Payload: []byte(large(1))}, true); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("after a restart a reliable publish is told %v", err)
	}
	wantPayloads(t, "after a restart", numbersOf(quick, "ticks"), []string{"1"})
	must(t, os.Remove(filler))
	healed := d.publish("ticks", large(2))
	if started.Epoch == healed.Epoch || healed.Offset <= started.Offset || healed.Epoch != kept.Epoch() {
		t.Errorf("it is at %+v on the full disk, then at %+v", started.Placed, healed.Placed)
	}
	fillUp(t, filler)
	for range 3 { // a topic that is forgotten and comes back on the full disk gives no number twice
		was := d.publish("user:1", large(1))
		d.ns.Forget("user:1")
		if is := d.publish("user:1", large(2)); is.Offset <= was.Offset && is.Epoch == was.Epoch {
			t.Errorf("a topic that came back is at %+v, it was at %+v", is.Placed, was.Placed)
		}
	}
	must(t, os.Remove(filler))
	d.end()
}

// A file system that is mounted anew for reading only: see toldTo.
func TestRealDiskIsReadOnlyForNewAndOldTopics(t *testing.T) {
	if !again(t, &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS}) {
		return
	}
	outer := t.TempDir()
	image, dir := filepath.Join(outer, "image"), filepath.Join(outer, "mnt")
	err := errors.Join(os.WriteFile(image, nil, 0o600), os.Truncate(image, 16<<20), os.Mkdir(dir, 0o700), run(t, "mkfs.ext4", "-q", image))
	if err == nil {
		err = run(t, "mount", "-t", "ext4", "-o", "loop", image, dir)
	}
	if err != nil {
		t.Skipf("no image of a file system can be mounted here: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	// Abort is for good: the journal must not have a file open for writing, or the mount is busy. So the disk refuses
	// before it was used.
	d := newRealDisk(t, filepath.Join(dir, "journal"), journal.Interval)
	d.publish("ticks", "0")
	must(t, run(t, "mount", "-o", "remount,abort", dir))
	for _, topic := range []string{"ticks", "user:1"} {
		d.awaits(topic)
		slow, quick := d.stalled(0), d.connect(1)
		slow.subscribe(slow.join(), topic, delivery.SubscribeOptions{Tell: true})
		quick.join(topic)
		for n := 1; n <= 10; n++ {
			if got := d.publish(topic, fmt.Sprint(n)).Receipt(t.Context()); got.Spilled != 0 || got.Queued+got.Rejected != 2 {
				t.Errorf("%s: a best-effort publish is told %+v", topic, got)
			}
		}
		wantPayloads(t, topic+": who has room", sequence(quick, topic), counted(1, 10))
		slow.open(wide)
		d.caughtUp(slow, topic)
		if n := d.totals(d.ns.Declared(topic).Spec.Name).Dropped[base.ReasonSpillFailed]; n != 6 {
			t.Errorf("%s: %d booked as spill_failed", topic, n)
		}
	}
	for _, topic := range []string{"orders", "order:1"} {
		_, err := d.Publish(t.Context(), d.ns, topic, &delivery.Publication{Payload: []byte("1")}, true)
		if !errors.Is(err, delivery.ErrLog) || (!errors.Is(err, syscall.EROFS) && !errors.Is(err, syscall.EIO)) {
			t.Errorf("%s: a reliable publish is told %v", topic, err)
		}
	}
	d.end()
}

// A directory in which nothing may be made, for a process that is not root: see toldTo.
func TestRealDirectoryIsForbiddenForNewAndOldTopics(t *testing.T) {
	const nobody, where = 65534, "WEIR_TEST_DIR"
	dir := os.Getenv(where)
	if dir == "" {
		outer, err := os.MkdirTemp("", "weir-forbidden-*")
		must(t, err)
		t.Cleanup(func() { _ = os.RemoveAll(outer) })
		dir = filepath.Join(outer, "own")
		must(t, errors.Join(os.Mkdir(dir, 0o700), os.Chmod(outer, 0o755))) //nolint:gosec // for the program, and what it has is its own
		if os.Getuid() == 0 {
			must(t, os.Chown(dir, nobody, nobody))
		}
		t.Setenv(where, dir)
	}
	who := &syscall.Credential{Uid: nobody, Gid: nobody}
	if !again(t, &syscall.SysProcAttr{Credential: who}) {
		return
	}
	own := filepath.Join(dir, "journal")
	chmod := func(mode os.FileMode) {
		dirs, err := filepath.Glob(filepath.Join(own, "*"))
		must(t, err)
		for _, d := range append(dirs, own) {
			if i, err := os.Stat(d); err == nil && i.IsDir() {
				must(t, os.Chmod(d, mode)) //nolint:gosec // that is the test
			}
		}
	}
	forbidden := &refusing{why: syscall.EACCES, set: func() { chmod(0o500) }, unset: func() { chmod(0o700) }}
	d := newRealDisk(t, own, journal.Interval)
	forbidden.toldTo(t, d, "", "user:1", "order:1") // one that was used has a file open, and goes on
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tmpfs is a small file system of the test's own.
func tmpfs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := errors.Join(syscall.Mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, ""), syscall.Mount("weir", dir, "tmpfs", 0, "size=1m,mode=0700")); err != nil {
		t.Skipf("no tmpfs may be mounted: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fillUp leaves no room on a file system.
func fillUp(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer f.Close() //nolint:errcheck // it is full
	for _, size := range []int{64 << 10, 4 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}

// run runs a program of the system.
func run(t *testing.T, name string, args ...string) error {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s %q: %w: %s", name, args, err, said)
	}
	return nil
}
