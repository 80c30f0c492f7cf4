package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// The exit codes (operating.md).
const (
	exitGood   = 0
	exitFailed = 1
	exitUsage  = 2
)

// streams are what a command reads and writes.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// usageError is a mistake on the command line that cobra does not see.
type usageError struct{ reason string }

func (e *usageError) Error() string { return e.reason }

func usagef(format string, args ...any) error { return &usageError{fmt.Sprintf(format, args...)} }

// errReported ends a command as failed after it has said why.
var errReported = errors.New("reported")

// errMisconfigured ends a command for a mistake in its configuration, after it has said which: trying again is no use.
var errMisconfigured = errors.New("misconfigured")

// run is main with everything it touches as arguments. The end of ctx is what an interrupt is.
func run(ctx context.Context, args []string, s streams) int {
	began := false
	root := newRoot(s)
	root.PersistentPreRun = func(*cobra.Command, []string) { began = true }
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	var usage *usageError
	switch {
	case err == nil:
		return exitGood
	case errors.As(err, &usage) || !began: // else cobra refused the line before the command began
		fmt.Fprintf(s.err, "weir: %v\nRun '%s --help' for its usage.\n", err, cmd.CommandPath())
		return exitUsage
	case errors.Is(err, errMisconfigured):
		return exitUsage
	case !errors.Is(err, errReported):
		fmt.Fprintf(s.err, "weir: %v\n", err)
	}
	return exitFailed
}

func newRoot(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Real-time delivery to Socket.IO clients, with a policy for each topic",
		Long: `Weir serves unmodified Socket.IO clients. The application declares, per topic, what happens
when a client is slow or gone.

Try it:  weir dev`,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          needsCommand,
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.AddCommand(devCommand(), serveCommand(), checkCommand(), doctorCommand(), configCommand(), journalCommand(), publishCommand(), tailCommand(), historyCommand(), tokenCommand(),
		benchCommand(), slowCommand(), versionCommand(), manCommand())
	return root
}

// needsCommand is what a command does that only has others below it.
func needsCommand(cmd *cobra.Command, args []string) error {
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	want := "want one of " + strings.Join(names, ", ")
	if len(args) > 0 {
		return usagef("unknown command %q: %s", args[0], want)
	}
	return usagef("%s", want)
}

// serverEnviron is the environment as the configuration sees it: without the variables of the commands that call a
// running server, since it refuses those it does not know.
func serverEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(line string) bool {
		name, _, _ := strings.Cut(line, "=")
		return name == envURL || name == envKey
	})
}
