package weir

import (
	"cmp"
	"slices"
	"strings"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/metrics"
)

// troubles is what is wrong with the disk, for /readyz, /api/lag and metrics.
func (d *disk) troubles() []metrics.Trouble {
	j := d.journal.Load()
	if j == nil {
		return nil
	}
	return troublesOf(j.Troubles())
}

func troublesOf(all []journal.Trouble) (out []metrics.Trouble) {
	for i := range all {
		t := &all[i]
		out = append(out, metrics.Trouble{What: t.What.String(), Sentence: t.What.Sentence(), Since: t.Since, Detail: t.Detail()})
	}
	return out
}

// figures are the journal's, nil if there is none. Topics are added up by their declaration.
func (d *disk) figures() *metrics.Journal {
	j := d.journal.Load()
	if j == nil {
		return nil
	}
	s := j.Stats()
	return &metrics.Journal{
		Appended: s.Appended, AppendedBytes: s.Bytes, Failed: s.Failed, Busy: s.Busy,
		Sync: s.SyncTime, SyncsFailed: s.Unsynced,
		TailReads: s.TailReads, DiskReads: s.DiskReads, Blocks: s.Blocks, ReadsFailed: s.Unread,
		Damaged: s.Damaged, Torn: s.Torn, GaveWay: s.Dropped,
		Used: s.Used, Limit: s.Limit, Resting: s.RestingBytes, Aside: s.AsideBytes, OpenFiles: s.OpenFiles,
		Troubles: troublesOf(s.Troubles), Topics: d.byDeclaration(s.Topics),
	}
}

// byDeclaration adds up topics, so that no label is a name that a client has chosen. What no declaration covers is left out.
func (d *disk) byDeclaration(topics []journal.LogStats) []metrics.Kept {
	sums := make(map[[2]string]*metrics.Kept)
	for i := range topics {
		t := &topics[i]
		n := d.of.byPath.Find(t.Namespace)
		if n == nil {
			continue
		}
		declared := n.d.Declared(t.Topic)
		if declared == nil {
			continue
		}
		name := [2]string{t.Namespace, declared.Spec.Name}
		sum := sums[name]
		if sum == nil {
			sum = &metrics.Kept{Namespace: name[0], Topic: name[1]}
			sums[name] = sum
		}
		sum.Bytes += t.Bytes
		sum.Unsynced += t.Unsynced
		sum.Segments += t.Segments
	}
	list := make([]metrics.Kept, 0, len(sums))
	for _, sum := range sums {
		list = append(list, *sum)
	}
	slices.SortFunc(list, func(a, b metrics.Kept) int {
		return cmp.Or(strings.Compare(a.Namespace, b.Namespace), strings.Compare(a.Topic, b.Topic))
	})
	return list
}
