package main

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/internal/loadtest"
	"github.com/streamweir/weir/internal/loadtest/report"
)

func benchCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Load a Socket.IO server, check what it delivers, and measure what that costs",
		Long: `Load a Socket.IO server with many clients, check what it delivers and measure what that costs: Weir or any other.
The target has to be on this machine, unless --i-own-this-target says that it is yours.

The first Ctrl-C ends a run with the result so far. The exit code is 0 if everything that had to hold did.
See docs/guide/measuring.md for how to read the figures.`,
		Example: `  weir bench connect http://127.0.0.1:3000 --clients 10000 --pid $(pgrep -f 'weir serve')
  weir bench fanout http://127.0.0.1:3000 --namespace /feed --topic tick --window 16
  weir bench slow http://127.0.0.1:3000 --namespace /feed --topic tick --slow 10% --read 2KB/s --html slow.html`,
		RunE: needsCommand,
	}
	for _, scenario := range loadtest.Names() {
		cmd.AddCommand(scenarioCommand(scenario))
	}
	cmd.AddCommand(benchRunCommand(), benchReportCommand(), benchAgentCommand())
	return cmd
}

// scenarioHelp is what each scenario is for.
var scenarioHelp = map[string]struct{ short, long string }{
	loadtest.Connect: {"How fast clients are let in, and what each costs to hold", `Connect many clients, at a rate or as fast as they are admitted, and hold them: connects/s, failures by reason, time to
connect, memory for each connection (with --pid).`},
	loadtest.Fanout: {"One message to many clients", `Publish messages to a topic all clients subscribe to. With --rate an open loop: latencies count from when a message was
due, whatever held it up. With --window a closed loop: as fast as all clients keep up.`},
	loadtest.Slow: {"Some clients stall or read slowly", `Let some of the clients stall, or read a few bytes a second over a small receive buffer, as on a slow link: server
memory over time, latency of the healthy ones, what the slow ones got and how old it was, who was cut.`},
	loadtest.CatchUp: {"All clients stall for a number of messages, then read them", `Clients subscribe and stop reading while messages are published at a rate; then they read as fast as they can. Deliveries/s while they catch
up, memory held for each while it was behind, and whether everything came, in order: for topics with SPILL_TO_DISK, or lanes that are large enough.`},
	loadtest.Storm: {"Many clients are cut at once and come back", `Cut clients at once; they come back with the official client's backoff and jitter. Time until all are back, refusals,
and what those notice who stayed (--stay).`},
	loadtest.Events: {"Clients send events and wait for acks", `Clients send events with an ack, several at a time: events/s and the time until the ack.`},
	loadtest.Leak: {"Waves of clients come and go: what does the server keep?", `Waves of clients come, subscribe, receive and leave. Memory, goroutines and descriptors of the server after the last
wave are compared with those after the first; says leak or no leak. Needs --pid, --metrics or --management.`},
}

func scenarioCommand(scenario string) *cobra.Command {
	o := loadtest.Defaults(scenario)
	var out output
	cmd := &cobra.Command{
		Use:   scenario + " URL",
		Short: scenarioHelp[scenario].short,
		Long:  scenarioHelp[scenario].long,
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Target.URL = args[0]
			return bench(cmd, []loadtest.Options{o}, out)
		},
	}
	out.flags(cmd)
	settingFlags(cmd, o.Settings())
	cmd.Flags().SortFlags = false
	return cmd
}

func settingFlags(cmd *cobra.Command, settings []loadtest.Setting) {
	for _, s := range settings {
		f := cmd.Flags().VarPF(s.Value, s.Name, "", s.Usage)
		if s.Value.Type() == "bool" {
			f.NoOptDefVal = "true"
		}
	}
}

// bench runs scenarios in turn and writes their results. The first interrupt ends the one that runs, with its result so
// far, and leaves out the others.
func bench(cmd *cobra.Command, steps []loadtest.Options, out output) error {
	for i := range steps {
		if err := refuse(cmd.Context(), &steps[i]); err != nil {
			return err
		}
	}
	log, flush := newLogger(cmd.ErrOrStderr(), slog.LevelInfo, "auto")
	defer flush()
	ctx, stop := untilSignal(cmd.Context(), log, flush, nil)
	defer stop()
	var runs []*report.Run
	var failed error // the results before it are worth having
	for i := 0; i < len(steps) && failed == nil && ctx.Err() == nil; i++ {
		progress := out.progress(cmd.ErrOrStderr())
		run, err := loadtest.Run(ctx, steps[i], progress.Show)
		progress.Done()
		if run != nil {
			runs = append(runs, run)
			failed = out.text(cmd, run)
		}
		if run != nil || ctx.Err() == nil { // else it was interrupted before there was anything
			failed = errors.Join(failed, err)
		}
	}
	if err := errors.Join(failed, out.files(cmd, runs)); err != nil {
		return err
	}
	if slices.ContainsFunc(runs, func(r *report.Run) bool { return !r.OK() }) {
		return errReported
	}
	return nil
}

// refuse says what is wrong with the options, all of it, and whether the target may be loaded.
func refuse(ctx context.Context, o *loadtest.Options) error {
	var wrong []string
	for _, p := range o.Validate() {
		wrong = append(wrong, p.Error())
	}
	if len(wrong) > 0 {
		return usagef("%s", strings.Join(wrong, "\n"))
	}
	err := o.Target.Admit(ctx)
	if errors.Is(err, loadtest.ErrNotOwned) {
		return usagef("%v", err)
	}
	return err
}

// benchAgentCommand is this program as one process of a fleet: loadtest starts it.
func benchAgentCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "agent",
		Short:  "Clients of a load test in a process of their own, for the one that started it",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			signal.Ignore(os.Interrupt, syscall.SIGTERM) // they reach the whole group; the parent decides what they mean
			return loadtest.RunAgent(cmd.InOrStdin(), cmd.OutOrStdout())
		},
	}
}
