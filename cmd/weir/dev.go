package main

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/cmd/weir/internal/demo"
)

func devCommand() *cobra.Command {
	o := demo.Options{Port: demo.NextFree, ManagementPort: demo.NextFree}
	level := slog.LevelError // the page shows the cuts, which are warnings
	cmd := &cobra.Command{
		Use:   "dev",
		Short: "Show Weir at work: a page with a fast reader and a slow one; no configuration",
		Long: `Show Weir at work: a page with a live price feed that goes to a fast reader and to a slow one, for each of six
overflow actions. Three lines on stdout say where: the page, the address for clients, and a curl command that
publishes to the page. What spills to disk is in a temporary directory, which is removed at the end, whichever signal that is.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, flush := newLogger(cmd.ErrOrStderr(), level, "auto")
			defer flush()
			o.Logger = log
			return dev(cmd.Context(), o, flush, cmd)
		},
	}
	cmd.Flags().StringVar(&o.Host, "host", "127.0.0.1", "`ADDRESS` of the page and the clients; the management API stays on loopback")
	cmd.Flags().IntVar(&o.Port, "port", demo.NextFree, "`PORT` of the page and the clients; 0: any (default 3000, or the next free)")
	cmd.Flags().IntVar(&o.ManagementPort, "management-port", demo.NextFree, "`PORT` of the management API; 0: any (default 9393, or the next free)")
	cmd.Flags().TextVar(&level, "log-level", level, "least `LEVEL` of what is logged: debug, info, warn, error")
	for _, name := range []string{"port", "management-port"} {
		cmd.Flags().Lookup(name).DefValue = "0" // the text above says it better than -1
	}
	return cmd
}

// dev runs until a signal.
func dev(ctx context.Context, o demo.Options, flush func(), cmd *cobra.Command) error {
	for name, port := range map[string]int{"port": o.Port, "management-port": o.ManagementPort} {
		if cmd.Flags().Changed(name) && (port < 0 || port > 65535) {
			return usagef("--%s %d: want 0 to 65535", name, port)
		}
	}
	outliveReaders()
	t := tune(cpus(), 0, 1)
	o.Shards = t.shards
	ctx, leave := context.WithCancel(ctx)
	defer leave()
	var made atomic.Pointer[demo.Demo]
	tidy := func() { // before the second signal ends the process
		if d := made.Load(); d != nil {
			d.Tidy()
		}
		flush()
	}
	ctx, stop := untilSignal(ctx, o.Logger, tidy, leave) // a terminal that is closed is one that wants it to leave
	defer stop()
	d, err := demo.New(o)
	if err != nil {
		return err
	}
	made.Store(d)
	openDescriptors(o.Logger)
	t.apply(o.Logger)
	fmt.Fprintf(cmd.OutOrStdout(), "Page:    %s\nClients: %s\n%s\n", d.PageURL(), d.ClientURL(), d.Curl())
	return d.Run(ctx)
}
