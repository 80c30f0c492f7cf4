package main

import "strconv"

// journalRows are about what is written to disk.
func journalRows(s size) []row {
	const beside = "beside a bare loop"
	records := 300_000 // 170 MB: as much as a journal lets wait for the disk under interval, and no more
	if s.once {
		records = 20_000
	}
	return []row{{
		name: "journal-append", shows: "records of 512 B appended to the journal, over a bare loop of sums and writes in the same process", pairs: s.pairs(3),
		variants: []variant{{name: beside, run: floor("append", "-records", strconv.Itoa(records))}},
		judge: func(f *finding) {
			for _, policy := range []string{"interval", "never"} {
				f.expect("fsync: "+policy+", of the bare loop", f.median(beside, "of the bare loop, "+policy), "x", atLeast, 0.7)
				f.show("fsync: "+policy, f.median(beside, "append, "+policy), "us")
			}
			f.show("the bare loop", f.median(beside, "append, bare loop of sums and writes"), "us")
		},
	}}
}
