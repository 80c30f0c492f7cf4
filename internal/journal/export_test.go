package journal

import "time"

// WithIndexFrom has segments of so many bytes get an index file.
func WithIndexFrom(o *Options, bytes int64) { o.indexFrom = bytes }

// WithReserveBlock has so many offsets reserved together.
func WithReserveBlock(o *Options, offsets uint64) { o.reserveBlock = offsets }

// WithPortions has so many bytes written together, and beside the numbering of what comes next.
func WithPortions(o *Options, bytes int) { o.portionBytes, o.besideBytes, o.beside = bytes, 1, true }

// Settle waits until nothing is done beside the writer.
func (l *Log) Settle() { l.awaitTasks() }

// WithRecovery has the disk be well again when nothing was wrong for so long.
func WithRecovery(o *Options, after time.Duration) { o.pace.recovers = after }

// Resting is how many logs are remembered that are not open.
func (j *Journal) Resting() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.resting)
}

// WithPortionsAsNeeded has so many bytes written together, beside the numbering of what comes next where deliveries take long.
func WithPortionsAsNeeded(o *Options, bytes int) { o.portionBytes, o.besideBytes = bytes, 1 }
