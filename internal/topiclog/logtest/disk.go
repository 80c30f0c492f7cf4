package logtest

import (
	"errors"
	"slices"
	"testing"

	"github.com/streamweir/weir/internal/topiclog"
)

// Disk is what a keeper writes to, as far as a test can break it. The journal's is a file system in memory; a real one
// is broken in the journal's own tests.
type Disk interface {
	// Break makes the disk fail until heal is called.
	Break(how Fault) (heal func())

	// Restart ends the process that keeps the log, and returns the log as the next one has it.
	Restart(t testing.TB, how Ending, deliver topiclog.Deliver) topiclog.Log
}

// Fault is how a disk fails.
type Fault string

// The faults.
const (
	Full     Fault = "full"
	ReadOnly Fault = "read-only"
	Gone     Fault = "gone"  // nothing succeeds, reading neither
	Hangs    Fault = "hangs" // nothing ends before it is healed
)

// Ending is how a process ends.
type Ending string

// The endings.
const (
	InOrder Ending = "in order"
	Killed  Ending = "killed"
	Torn    Ending = "torn" // with the machine, and of what was not synced a part is left
)

// RunDisk runs what a keeper on a disk has to pass besides Run. durable says that what was confirmed outlives the machine. A
// Prompt delivers before it confirms: what it could not confirm is told as lost.
func RunDisk(t *testing.T, open func(t testing.TB, deliver topiclog.Deliver) (topiclog.Log, Disk), durable bool) {
	for _, how := range []Fault{Full, ReadOnly, Gone} {
		t.Run("a disk that is "+string(how)+" refuses and heals", func(t *testing.T) { testBroken(t, open, how) })
	}
	t.Run("a disk that hangs blocks nobody", func(t *testing.T) { testHangs(t, open) })
	for _, how := range []Ending{InOrder, Killed, Torn} {
		t.Run("an end that is "+string(how), func(t *testing.T) { testEnding(t, open, how, durable) })
	}
}

type opener = func(t testing.TB, deliver topiclog.Deliver) (topiclog.Log, Disk)

func onDisk(t *testing.T, open opener) (*order, Disk) {
	o := &order{t: t}
	var d Disk
	o.log, d = open(t, o.deliver)
	t.Cleanup(func() { o.log.Close() })
	return o, d
}

// Who appends to a broken disk is refused, and nothing of it is delivered or read, ever; what was confirmed is there;
// and appends succeed when it has healed.
func testBroken(t *testing.T, open opener, how Fault) {
	o, d := onDisk(t, open)
	for n := range 5 {
		o.put(record(n))
	}
	heal := d.Break(how)
	refused := 0
	for n := 5; n < 300 && refused < 5; n++ { // a full disk may have room for some
		if _, err := o.offer(record(1000)); err != nil {
			refused++
		}
	}
	if refused < 5 {
		t.Errorf("%d appends are refused", refused)
	}
	done := make(chan topiclog.Batch, 1)
	o.log.Read(topiclog.Query{Limit: everything}, func(b topiclog.Batch) { done <- b })
	_, prompt := o.log.(topiclog.Prompt)
	if b := <-done; b.Err == nil && (b.Lost || len(b.Placements) < 5) || (b.Err != nil && how != Gone) {
		t.Errorf("a reader gets %+v", b)
	}
	heal()
	for n := 5; n < 10; n++ {
		o.put(record(n))
	}
	got, lost := o.readAll(topiclog.Query{Limit: everything})
	var delivered []string
	for _, p := range o.delivered {
		delivered = append(delivered, p.ID)
	}
	if !prompt {
		o.want("healed", got, delivered)
	}
	got = slices.DeleteFunc(got, func(id string) bool { return id == "1000" }) // that were taken before it was full
	if o.want("healed", got, numbers(0, 9)); lost != prompt {
		t.Errorf("a reader is told that something is lost: %v", lost)
	}
}

// Appends to a disk that hangs return, are bounded, and are told when it goes on; what is in memory can be asked for meanwhile.
func testHangs(t *testing.T, open opener) {
	o, d := onDisk(t, open)
	o.put(record(0))
	heal := d.Break(Hangs)
	if p, ok := o.log.(topiclog.Prompt); ok {
		testPromptHangs(o, p, heal)
		return
	}
	var later []*topiclog.Later
	var err error
	big := make([]byte, 64<<10)
	for n := 1; n < 10_000 && err == nil; n++ {
		r := record(n)
		r.Payload = big
		var p *topiclog.Later
		if _, p, err = o.log.Append(r); err == nil {
			later = append(later, p)
		}
	}
	if !errors.Is(err, topiclog.ErrFull) {
		t.Errorf("after %d: %v", len(later), err)
	}
	if s := o.log.Span(); s.Last < 1 {
		t.Errorf("%+v", s)
	}
	heal()
	for n, p := range later {
		if _, err := p.Wait(t.Context()); err != nil {
			t.Errorf("record %d, which was taken: %v", n+1, err)
		}
	}
	got, lost := o.readAll(topiclog.Query{Limit: everything})
	if o.want("when it goes on", got, numbers(0, len(later))); lost {
		t.Error("something is lost")
	}
}

// Of a Prompt what is appended to a disk that hangs has its place and is read, up to a bound, and nobody waits; beyond it readers
// are told, of that alone. What had its place is kept when the disk goes on.
func testPromptHangs(o *order, p topiclog.Prompt, heal func()) {
	const missed = 20
	last, unsure := 0, 0
	for err := error(nil); err == nil && last < 10_000; {
		r := record(last + 1)
		r.Payload = make([]byte, 64<<10)
		var later *topiclog.Later
		if _, later, err = o.append(r); err == nil {
			if last++; last%20 == 1 {
				if _, err := later.Wait(o.t.Context()); errors.Is(err, topiclog.ErrLate) {
					unsure++
				} else {
					o.t.Errorf("record %d, which no disk has: %v", last, err)
				}
			}
		}
	}
	for n := range missed {
		r := record(20_000 + n)
		r.Payload = make([]byte, 64<<10)
		if _, _, err := o.append(r); !errors.Is(err, topiclog.ErrFull) {
			o.t.Errorf("beyond the bound: %v", err)
		}
	}
	if len(o.delivered) != 1+last+1+missed || unsure == 0 {
		o.t.Errorf("%d delivered, %d had room, of %d nobody knew whether they are kept", len(o.delivered), last, unsure)
	}
	look := func(what string) {
		o.t.Helper()
		got, lost := o.readAll(topiclog.Query{After: o.delivered[0].Offset, Limit: topiclog.Limit{Records: 7, Bytes: 1 << 30}})
		got = slices.DeleteFunc(got, func(id string) bool { return id == "30000" }) // came later
		if o.want(what, got, numbers(1, last)); !lost {
			o.t.Error(what + ": nobody is told what was missed")
		}
		if b := o.read(topiclog.Query{After: o.delivered[last-1].Offset, Limit: topiclog.Limit{Records: 100, Bytes: 1 << 30}}); b.Lost || len(b.Placements) != 1 {
			o.t.Errorf("%s: in front of what was missed %+v", what, b)
		}
	}
	look("while it hangs")
	heal()
	for range missed {
		if err := p.Room(o.t.Context(), record(0)); err != nil && !errors.Is(err, topiclog.ErrFull) {
			o.t.Error(err)
		}
	}
	at := o.settled(30_000)
	look("when it goes on")
	if b := o.read(topiclog.Query{After: at.Previous, Limit: everything}); b.Lost || len(b.Placements) != 1 {
		o.t.Errorf("and then %+v", b)
	}
}

// settled offers records until one is kept, which is returned, and marks those before as missed in the order.
func (o *order) settled(n int) topiclog.Position {
	for {
		at, later, err := o.append(record(n))
		if err == nil {
			if _, err = later.Wait(o.t.Context()); err == nil {
				return at
			}
		}
		if !errors.Is(err, topiclog.ErrLate) && !errors.Is(err, topiclog.ErrFull) {
			o.t.Fatal(err)
		}
	}
}

// What was confirmed is there after an end of the process, in the same epoch, and no offset is given twice. If the
// machine ends too, a beginning of it may be left, and then readers are told.
func testEnding(t *testing.T, open opener, how Ending, durable bool) {
	o, d := onDisk(t, open)
	_, prompt := o.log.(topiclog.Prompt)
	all := durable || how != Torn
	told := how == Torn && !durable || how == Killed && prompt // that something may be missing
	for n := range 20 {
		o.put(record(n))
	}
	before := o.log.Span()
	o.delivered = nil
	o.log = d.Restart(t, how, func(e topiclog.Placement) { o.delivered = append(o.delivered, e) })
	after := o.log.Span()
	got, lost := o.readAll(topiclog.Query{Limit: everything})
	if after.Epoch != before.Epoch || after.Last < before.Last || len(got) > 20 || !slices.Equal(got, numbers(0, 19)[:len(got)]) {
		t.Errorf("before %+v, after %+v, read %q", before, after, got)
	}
	if missing := len(got) < 20; missing && (all || !lost) || (lost && !told) {
		t.Errorf("read %q, lost %v", got, lost)
	}
	b := o.read(topiclog.Query{Epoch: before.Epoch, After: before.Last, Limit: everything})
	if b.Err != nil || (b.Lost && how != Torn && !told) || (!b.Lost && told) {
		t.Errorf("who has read all is told %+v", b)
	}
	o.previous = after.Last // if something may be missing
	if !b.Lost {
		o.previous = before.Last
	}
	if at := o.put(record(20)); at.Offset <= before.Last {
		t.Errorf("then %+v", at)
	}
}
