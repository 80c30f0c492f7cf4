package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/cmd/weir/internal/doctor"
)

// doctorFlags are what `weir doctor` is asked.
type doctorFlags struct {
	file          fileFlags
	connections   int
	pid           int
	journal       string
	proxy         doctor.Proxy
	json, verbose bool
}

func doctorCommand() *cobra.Command {
	var f doctorFlags
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Say what of this machine will break or slow down the server",
		Long: `Say what of this machine will break or slow down the server: descriptors, kernel settings, the cgroup's memory and CPU,
clocks, the disk of the journal, the broker, and the proxy in front if one is named. For each: what was found, what is
wanted, why, and the command that changes it. What cannot be found out is "unknown".

Exit code 1 when something will break, 0 otherwise. Without --config the defaults count.`,
		Example: `  weir doctor --connections 50000
  weir doctor --config weir.yaml --proxy https://feed.example.com --patient
  weir doctor --journal /var/lib/weir/journal
  weir doctor --pid $(pidof weir) --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			for name, n := range map[string]int{"connections": f.connections, "pid": f.pid} {
				if cmd.Flags().Changed(name) && n < 1 {
					return usagef("--%s %d: want 1 or more", name, n)
				}
			}
			if f.proxy.Patient && f.proxy.URL == "" {
				return usagef("--patient needs --proxy URL")
			}
			return f.run(cmd)
		},
	}
	cmd.Flags().StringVarP(&f.file.path, "config", "c", "", "the configuration `FILE`")
	cmd.Flags().IntVar(&f.connections, "connections", 0, "reckon with `N` connections (default limits.maxConnections of all servers, else 10000)")
	cmd.Flags().IntVar(&f.pid, "pid", 0, "look at the limits of the running server of that `PID`, not at one's own")
	cmd.Flags().StringVar(&f.journal, "journal", "", "look at `DIR` as the directory of the journal (default journal.path); some MiB are written into it and removed")
	cmd.Flags().StringVar(&f.proxy.URL, "proxy", "", "try the proxy in front of the server at `URL`")
	cmd.Flags().BoolVar(&f.proxy.Patient, "patient", false, "with --proxy: stay connected until the first ping, pingInterval (25 s)")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object")
	cmd.Flags().BoolVarP(&f.verbose, "verbose", "v", false, "give the reason of what is good too")
	return cmd
}

func (f doctorFlags) run(cmd *cobra.Command) error {
	c, err := f.file.shown(cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	needs := doctor.NeedsOf(c)
	if f.connections > 0 {
		needs.Connections, needs.Assumed = f.connections, false
	}
	if f.journal != "" {
		needs.Journal.Path = f.journal
		needs.Journal.MaxBytes = cmp.Or(needs.Journal.MaxBytes, doctor.JournalBytes)
	}
	var proxy *doctor.Proxy
	if f.proxy.URL != "" {
		proxy = &f.proxy
	}
	report := doctor.Examine(cmd.Context(), doctor.ThisMachine(f.pid), needs, proxy)
	switch {
	case f.json:
		err = report.WriteJSON(cmd.OutOrStdout())
	case f.verbose:
		err = report.WriteText(cmd.OutOrStdout(), doctor.Everything)
	default:
		err = report.WriteText(cmd.OutOrStdout(), doctor.Bad)
	}
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	if report.Failed() {
		return errReported
	}
	return nil
}
