package doctor

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"
)

// Trial is how fast a directory takes what is written.
type Trial struct {
	Rate int64         // bytes a second, until they were on the disk
	Sync time.Duration // the median of syncing a page
}

// What a trial may cost.
const (
	trialBytes    = 8 << 20
	trialSyncs    = 50
	trialTime     = 500 * time.Millisecond // of each half, beyond the last call
	trialPatience = 10 * time.Second
	trialMost     = trialBytes + trialSyncs*trialPage + trialPiece
	trialPage     = 4 << 10
	trialPiece    = 256 << 10
)

// tryDisk writes some MiB into a file of its own in a directory, syncs it, syncs a page again and again, and removes it.
func tryDisk(path string) (t Trial, err error) {
	f, err := os.CreateTemp(path, "weir-doctor-*")
	if err != nil {
		return Trial{}, err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	began, written := time.Now(), 0
	piece := make([]byte, trialPiece)
	for written < trialBytes && time.Since(began) < trialTime {
		n, err := f.Write(piece)
		if err != nil {
			return Trial{}, err
		}
		written += n
	}
	if err := f.Sync(); err != nil {
		return Trial{}, err
	}
	t.Rate = int64(float64(written) / max(time.Since(began).Seconds(), 1e-6))
	var syncs []time.Duration
	for began = time.Now(); len(syncs) < trialSyncs && (len(syncs) == 0 || time.Since(began) < trialTime); {
		one := time.Now()
		if _, err := f.Write(piece[:trialPage]); err != nil {
			return Trial{}, err
		}
		if err := f.Sync(); err != nil {
			return Trial{}, err
		}
		syncs = append(syncs, time.Since(one))
	}
	slices.Sort(syncs)
	t.Sync = syncs[len(syncs)/2]
	return t, nil
}

// errNoAnswer says that a disk hangs.
var errNoAnswer = fmt.Errorf("the disk had not taken %s after %v", size(trialBytes), trialPatience)

// tryPatiently is tryDisk that gives up: what hangs in the kernel is left behind.
func tryPatiently(path string) (Trial, error) {
	type result struct {
		Trial
		err error
	}
	done := make(chan result, 1)
	go func() {
		t, err := tryDisk(path)
		done <- result{t, err}
	}()
	select {
	case r := <-done:
		return r.Trial, r.err
	case <-time.After(trialPatience):
		return Trial{}, errNoAnswer
	}
}

// What a disk should reach.
const (
	slowRate   = 20 << 20 // bytes a second
	slowSync   = 50 * time.Millisecond
	slowAlways = 10 * time.Millisecond // where each publish waits for it
)

// journalSpeed writes into the directory of the journal.
func journalSpeed(m Machine, n Needs) Finding {
	f := Finding{
		Name:   "journal speed",
		Wanted: "none",
		Why: "What is published to topics with a journal goes to this disk. Under fsync: always each publish waits for a sync; under interval a machine " +
			"that fails loses what was not synced. A disk that is slower than the publishers makes them wait, and then refuses.",
	}
	if n.Journal.Path == "" {
		return f.at(OK, "no journal is configured")
	}
	most := slowSync
	if n.Journal.Fsync == "always" {
		most = slowAlways
	}
	f.Wanted = fmt.Sprintf("%s/s or more, a sync in %v or less", size(slowRate), most)
	d, err := m.Disk(n.Journal.Path)
	switch {
	case err != nil:
		return f.unknown(fmt.Errorf("not tried: %w", err))
	case d.ReadOnly || !d.Writable:
		return f.unknown(errors.New("not tried: the directory is not writable"))
	case d.Free < leastFree+trialMost: // the last of it is not for a trial
		return f.unknown(fmt.Errorf("not tried: it would write %s, and %s are free", size(trialMost), size(d.Free)))
	}
	t, err := m.Try(n.Journal.Path)
	switch {
	case errors.Is(err, errNoAnswer):
		f.Fix = "set journal.path to a directory on a local disk that answers"
		return f.at(Warn, "%v", err)
	case err != nil:
		return f.unknown(fmt.Errorf("not tried: %w", err))
	}
	f.Fix = "set journal.path to a directory on a faster disk, or fsync: interval"
	found := fmt.Sprintf("%s/s written, a sync in %v", size(t.Rate), t.Sync.Round(10*time.Microsecond))
	if t.Rate < slowRate || t.Sync > most {
		return f.at(Warn, "%s", found)
	}
	return f.at(OK, "%s", found)
}
