package metrics

import "github.com/streamweir/weir/internal/delivery"

// collectJournal is for a server that has one open: without it there are no series of zeros.
func collectJournal(s sink, h *delivery.Hub, j *Journal) {
	s.put(journalRefusing, float64(h.Refusing()))
	s.put(journalAppends, float64(j.Appended))
	s.put(journalBytesIn, float64(j.AppendedBytes))
	s.put(journalRefused, float64(j.Failed), "disk")
	s.put(journalRefused, float64(j.Busy), "busy")
	s.histogram(journalSync, j.Sync)
	s.put(journalUnsynced, float64(j.SyncsFailed))
	s.put(journalReads, float64(j.TailReads), "memory")
	s.put(journalReads, float64(j.DiskReads), "disk")
	s.put(journalReadsFailed, float64(j.ReadsFailed))
	s.put(journalBlocks, float64(j.Blocks))
	s.put(journalDamaged, float64(j.Damaged))
	s.put(journalTorn, float64(j.Torn))
	s.put(journalGaveWay, float64(j.GaveWay))
	s.put(journalOpen, float64(j.OpenFiles))
	s.put(journalUsed, float64(j.Used))
	s.put(journalLimit, float64(j.Limit))
	s.put(journalResting, float64(j.Resting))
	s.put(journalAside, float64(j.Aside))
	for _, what := range Whats {
		on := 0.0
		for _, t := range j.Troubles {
			if t.What == what {
				on = 1
			}
		}
		s.put(journalTrouble, on, what)
	}
	for _, t := range j.Topics {
		s.put(journalBytes, float64(t.Bytes), t.Namespace, t.Topic)
		s.put(journalSegments, float64(t.Segments), t.Namespace, t.Topic)
		s.put(journalToSync, float64(t.Unsynced), t.Namespace, t.Topic)
	}
}
