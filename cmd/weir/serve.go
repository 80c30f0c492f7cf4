package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/cluster/nats/embedded"
	"github.com/streamweir/weir/cmd/weir/internal/doctor"
	"github.com/streamweir/weir/internal/attach"
	"github.com/streamweir/weir/internal/build"
	"github.com/streamweir/weir/internal/config"
	"github.com/streamweir/weir/internal/journal"
)

// fileFlags say which configuration counts.
type fileFlags struct {
	path, server string
	set          []string
}

func serveCommand() *cobra.Command {
	var f fileFlags
	cmd := &cobra.Command{
		Use:   "serve --config FILE",
		Short: "Serve clients as a configuration file says",
		Long: `Serve clients as a configuration file says: YAML, or JSON by its name's ending.

Flags win over the environment, and that over the file; 'weir config env' lists the variables. The first SIGINT or
SIGTERM drains: clients are sent away gently, then the process ends with 0. The second ends it at once with 1. A
configuration that is not usable ends it with 2. SIGHUP has
certificates read again that have changed, which is noticed without it too, and says what a restart would change.`,
		Example: `  weir config init >weir.yaml
  weir serve --config weir.yaml
  weir serve --config weir.yaml --server feed --set management.port=9400`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.path == "" {
				return usagef("serve needs --config FILE; 'weir config init' prints one to begin with, 'weir dev' needs none")
			}
			return serve(cmd.Context(), f, cmd.ErrOrStderr())
		},
	}
	cmd.Flags().StringVarP(&f.path, "config", "c", "", "the configuration `FILE`")
	cmd.Flags().StringVar(&f.server, "server", "", "run only the server of that `NAME`")
	cmd.Flags().StringArrayVar(&f.set, "set", nil, "a value in place of the file's, as `PATH=VALUE`; may be given again")
	return cmd
}

// load reads the configuration; its problems are told on w.
func (f fileFlags) load(w io.Writer) (*config.Config, error) {
	c, err := f.read()
	var problems *config.Problems
	if errors.As(err, &problems) {
		fmt.Fprint(w, problems.Detail())
		return nil, errReported
	}
	return c, err
}

// read reads the configuration.
func (f fileFlags) read() (*config.Config, error) {
	overrides := make(map[string]string)
	for _, s := range f.set {
		path, value, ok := strings.Cut(s, "=")
		if !ok || path == "" {
			return nil, usagef("--set %q: want PATH=VALUE, such as management.port=9400", s)
		}
		overrides[path] = value
	}
	return config.Load(f.path, config.LoadOptions{Environ: serverEnviron(), Overrides: overrides, Server: f.server})
}

// misconfigured says what is wrong with the configuration as the log would: with the lines of the file on a terminal,
// elsewhere as a JSON line for each problem. A mistake on the command line is left to run.
func misconfigured(err error, stderr io.Writer) error {
	var usage *usageError
	var problems *config.Problems
	listed := errors.As(err, &problems)
	switch {
	case errors.As(err, &usage):
		return err
	case isTerminal(stderr) && listed:
		fmt.Fprint(stderr, problems.Detail())
		return errMisconfigured
	}
	log, flush := newLogger(stderr, slog.LevelInfo, "auto")
	defer flush()
	if !listed {
		log.Error("the configuration is not usable", "error", err)
		return errMisconfigured
	}
	for _, p := range problems.List {
		log.Error("the configuration is not usable", "file", position(p.File, p.Line, p.Column), "path", p.Path, "error", p.Message)
	}
	return errMisconfigured
}

// position is a place in the configuration; a flag, an environment variable and what concerns a whole file have no line.
func position(file string, line, column int) string {
	if line == 0 {
		return file
	}
	return fmt.Sprintf("%s:%d:%d", file, line, column)
}

// serve runs until a signal.
func serve(ctx context.Context, f fileFlags, stderr io.Writer) error {
	c, err := f.read()
	if err != nil {
		return misconfigured(err, stderr)
	}
	outliveReaders()
	level := new(slog.LevelVar)
	level.Set(c.Log.Level)
	log, flush := newLogger(stderr, level, c.Log.Format)
	defer flush()
	for _, w := range c.Warnings {
		log.Warn(w.Message, "path", w.Path, "file", position(w.File, w.Line, w.Column))
	}
	o := c.Options
	t := tune(cpus(), o.Shards, o.Workers.Max)
	own := t.shards * (2 + len(o.Servers)) // an epoll and a bell each, and one of each listening socket
	limits := openDescriptors(log)
	if o.Journal.Path != "" {
		_, journals := journal.FilesFor(int(min(limits.Hard, math.MaxInt32)))
		own += journals
	}
	if err := limits.admits(connections(c), own); err != nil {
		log.Error("the configuration is not usable", "error", err)
		return errMisconfigured
	}
	if !defaulted(c, "workers.nice") {
		t.nice = o.Workers.Nice
	}
	o.Shards, o.Workers.Nice, o.Logger = t.shards, t.nice, log
	if b, ok := o.Cluster.Broker.(*embedded.Broker); ok {
		b.LogTo(log)
	}
	srv, err := weir.New(o)
	if err != nil {
		log.Error("the configuration is not usable", "error", err)
		return errMisconfigured
	}
	r := newReloader(f, c, log, level)
	r.srv = srv
	attach.To(srv, c.Extras)
	ctx, stop := untilSignal(ctx, log, flush, r.hangup)
	defer stop()
	if err := srv.Listen(); err != nil {
		log.Error("failed", "error", err)
		return errReported
	}
	t.apply(log)
	defer startGiveback()()
	logAddresses(srv, o, log)
	said := sayReady(srv, log)
	ended := make(chan struct{})
	defer close(ended)
	go r.watch(c.Files(), ended)
	err = srv.Run(ctx)
	<-said
	if err != nil {
		log.Error("failed", "error", err)
		return errReported
	}
	return nil
}

// sayReady logs that the server serves, once it does: its journal is open then, and its cluster joined. It has ended when said is
// closed, which is when it was logged or the server has stopped.
func sayReady(srv *weir.Server, log *slog.Logger) (said <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		if srv.Ready(context.Background()) == nil {
			log.Info("ready", "version", build.Version(), "revision", build.Revision(), "go", runtime.Version())
		}
	}()
	return done
}

// connections is how many clients the configuration lets in at the same time, 0 for no limit.
func connections(c *config.Config) int {
	if n := doctor.NeedsOf(c); !n.Assumed {
		return n.Connections
	}
	return 0
}

// defaulted reports whether nobody has set a value.
func defaulted(c *config.Config, path string) bool {
	return slices.ContainsFunc(c.Effective(), func(s config.Setting) bool { return s.Path == path && s.Origin == "default" })
}

// logAddresses says what is open, once all of it is.
func logAddresses(srv *weir.Server, o weir.Options, log *slog.Logger) {
	for _, s := range o.Servers {
		log.Info("listening", "server", s.Name, "address", srv.Addr(s.Name).String())
	}
	for _, name := range []string{"management", "probes"} {
		if a := srv.Addr(name); a != nil {
			log.Info("listening", "server", name, "address", a.String())
		}
	}
}
