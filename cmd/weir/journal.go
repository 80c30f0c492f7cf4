package main

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/internal/journal"
	"github.com/streamweir/weir/internal/topiclog"
	"github.com/streamweir/weir/internal/vfs"
)

// journalFlags are what the commands about a journal's directory are asked.
type journalFlags struct {
	namespace string
	json      bool
	from      uint64
	limit     int
}

func journalCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "journal",
		Short: "Look into the directory of a journal, also while a server writes it",
		Long: `Look into the directory of a journal (journal.path): which topics are there, whether what is there is what was written, and the
records themselves. Nothing is changed and no lock is taken: a server may be writing meanwhile. Names and payloads are printed with
control characters escaped.`,
		RunE: needsCommand,
	}
	cmd.AddCommand(journalList(), journalVerify(), journalCat())
	return cmd
}

func journalList() *cobra.Command {
	var f journalFlags
	cmd := &cobra.Command{
		Use:   "ls DIR [TOPIC]",
		Short: "List topics, or with TOPIC its segments: records, offsets, bytes, ages, damage",
		Long: `List the topics of a journal, or with TOPIC the segments of one: records, offsets, bytes, ages, damage. Index files are believed;
'weir journal verify' reads every record.`,
		Example: `  weir journal ls /var/lib/weir/journal
  weir journal ls /var/lib/weir/journal orders --json`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := f.look(args)
			if err != nil {
				return err
			}
			switch {
			case f.json:
				return writeViews(cmd.OutOrStdout(), all)
			case len(args) == 2:
				return writeSegments(cmd.OutOrStdout(), all)
			}
			return writeTopics(cmd.OutOrStdout(), all)
		},
	}
	f.common(cmd)
	return cmd
}

func journalVerify() *cobra.Command {
	var f journalFlags
	cmd := &cobra.Command{
		Use:   "verify DIR [TOPIC]",
		Short: "Read every record and check its sums; exit code 1 when something is damaged",
		Long: `Read every record of a journal, or with TOPIC of one topic, and check its sums. Exit code 1 when something is not what was
written, 0 otherwise. The end of the newest segment may be incomplete: it is being written, or was when the machine ended; the next start cuts it.`,
		Example: `  weir journal verify /var/lib/weir/journal`,
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, err := f.look(args)
			if err != nil {
				return err
			}
			return f.verify(cmd, all)
		},
	}
	f.common(cmd)
	return cmd
}

func journalCat() *cobra.Command {
	var f journalFlags
	cmd := &cobra.Command{
		Use:   "cat DIR TOPIC",
		Short: "Print the records of a topic, oldest first, one a line",
		Long: `Print the records of a topic, oldest first, one a line: offset, time, message id, whom it is for if not for everybody, payload. What is
damaged is left out, said on stderr, and makes the exit code 1.`,
		Example: `  weir journal cat /var/lib/weir/journal orders --limit 10
  weir journal cat /var/lib/weir/journal orders --namespace /feed --from 1048000 --json`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if f.limit < 0 {
				return usagef("--limit %d: want 0 or more", f.limit)
			}
			all, err := f.look(args)
			if err != nil {
				return err
			}
			if len(all) > 1 {
				return usagef("%d namespaces have a topic %s: name one with --namespace", len(all), safe(args[1]))
			}
			return f.cat(cmd, all[0])
		},
	}
	f.common(cmd)
	cmd.Flags().Uint64Var(&f.from, "from", 0, "begin at this `OFFSET`")
	cmd.Flags().IntVar(&f.limit, "limit", 0, "print at most `N` records; 0: all")
	return cmd
}

func (f *journalFlags) common(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.namespace, "namespace", "", "only topics of this `NAMESPACE`")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON")
}

// look is what is in the directory, of one topic if args name one.
func (f *journalFlags) look(args []string) ([]*journal.LogView, error) {
	all, err := journal.Look(vfs.Dir(args[0]))
	if err != nil {
		return nil, fmt.Errorf("look into the journal %s: %w", args[0], err)
	}
	var chosen []*journal.LogView
	for _, v := range all {
		if (f.namespace == "" || v.Namespace == f.namespace) && (len(args) < 2 || v.Topic == args[1]) {
			chosen = append(chosen, v)
		}
	}
	if len(chosen) == 0 && len(args) == 2 {
		return nil, fmt.Errorf("no log in %s is of a topic %s", args[0], safe(args[1]))
	}
	return chosen, nil
}

// verify reads everything, and says what is wrong.
func (f *journalFlags) verify(cmd *cobra.Command, all []*journal.LogView) error {
	out := cmd.OutOrStdout()
	segments, records, bad := 0, 0, 0
	var said []string
	for _, v := range all {
		for i := range v.Segments {
			v.Walk(i, 0, func(topiclog.Placement) bool { return true })
			s := &v.Segments[i]
			segments, records = segments+1, records+s.Records
			if s.Bad() {
				bad++
			}
			for _, text := range troubles(v, i) {
				said = append(said, fmt.Sprintf("%s: %s: %s", nameOf(v), s.Name, text))
			}
		}
		if damagedState(v) {
			bad++
			said = append(said, fmt.Sprintf("%s: state: %v", nameOf(v), v.State))
		}
		for _, a := range v.Aside {
			said = append(said, fmt.Sprintf("%s: %s: a copy that an earlier start has set aside", nameOf(v), safe(a.Name)))
		}
	}
	var err error
	if f.json {
		err = writeViews(out, all)
	} else {
		verdict := "no damage"
		if bad > 0 {
			verdict = "damage in " + counted(bad, "file")
		}
		said = append(said, fmt.Sprintf("%s, %s, %s: %s", counted(len(all), "topic"), counted(segments, "segment"), counted(records, "record"), verdict))
		_, err = fmt.Fprintln(out, strings.Join(said, "\n"))
	}
	if err == nil && bad > 0 {
		err = errReported
	}
	return err
}

// damagedState reports whether the state of a log is not what was written. A log that was just begun has none.
func damagedState(v *journal.LogView) bool {
	return v.State != nil && !errors.Is(v.State, fs.ErrNotExist)
}

// troubles is what is wrong with a segment, or noteworthy, in words.
func troubles(v *journal.LogView, i int) (all []string) {
	s := &v.Segments[i]
	switch {
	case s.Gone:
		return nil
	case s.Header != nil:
		return []string{fmt.Sprintf("its header: %v", s.Header)}
	case s.Trouble != nil:
		return []string{fmt.Sprintf("it cannot be read: %v", s.Trouble)}
	}
	if s.Damaged {
		all = append(all, "damaged: something in it is not what was written")
	}
	if s.Torn && i == len(v.Segments)-1 && v.Clean {
		all = append(all, "its end is not complete")
	}
	if s.Missing {
		all = append(all, fmt.Sprintf("records behind offset %d, up to %d, are missing: lost with the machine, or with damage", s.Last, v.Segments[i+1].Previous))
	}
	return all
}

// cat prints records.
func (f *journalFlags) cat(cmd *cobra.Command, v *journal.LogView) error {
	var failed error
	left, after := f.limit, uint64(0)
	if f.from > 0 {
		after = f.from - 1
	}
	damaged := damagedState(v)
	if damaged {
		fmt.Fprintf(cmd.ErrOrStderr(), "weir: %s: state: %v\n", nameOf(v), v.State)
	}
	for i := range v.Segments {
		if s := &v.Segments[i]; s.Records > 0 && s.Last <= after && !s.Bad() {
			continue
		}
		more := v.Walk(i, after, func(p topiclog.Placement) bool {
			line := recordLine(p)
			if f.json {
				line = recordJSON(p)
			}
			_, failed = fmt.Fprintln(cmd.OutOrStdout(), line)
			left--
			return failed == nil && left != 0
		})
		for _, text := range troubles(v, i) {
			fmt.Fprintf(cmd.ErrOrStderr(), "weir: %s: %s: %s\n", nameOf(v), v.Segments[i].Name, text)
		}
		damaged = damaged || v.Segments[i].Bad()
		if !more {
			break
		}
	}
	switch {
	case failed != nil:
		return fmt.Errorf("print a record: %w", failed)
	case damaged:
		return errReported
	}
	return nil
}
