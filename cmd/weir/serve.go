package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/build"
	"github.com/streamweir/weir/internal/config"
	"github.com/streamweir/weir/internal/doctor"
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
SIGTERM drains: clients are sent away gently, then the process ends with 0. The second ends it at once with 1.`,
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
	overrides := make(map[string]string)
	for _, s := range f.set {
		path, value, ok := strings.Cut(s, "=")
		if !ok || path == "" {
			return nil, usagef("--set %q: want PATH=VALUE, such as management.port=9400", s)
		}
		overrides[path] = value
	}
	c, err := config.Load(f.path, config.LoadOptions{Environ: serverEnviron(), Overrides: overrides, Server: f.server})
	var problems *config.Problems
	if errors.As(err, &problems) {
		fmt.Fprint(w, problems.Detail())
		return nil, errReported
	}
	return c, err
}

// serve runs until a signal.
func serve(ctx context.Context, f fileFlags, stderr io.Writer) error {
	c, err := f.load(stderr)
	if err != nil {
		return err
	}
	log, flush := newLogger(stderr, c.Log.Level, c.Log.Format)
	defer flush()
	for _, w := range c.Warnings {
		log.Warn(w.Message, "path", w.Path, "file", fmt.Sprintf("%s:%d:%d", w.File, w.Line, w.Column))
	}
	if err := openDescriptors(log).admits(connections(c)); err != nil {
		return err
	}
	o := c.Options
	t := tune(cpus(), o.Shards, o.Workers.Max)
	if !defaulted(c, "workers.nice") {
		t.nice = o.Workers.Nice
	}
	o.Shards, o.Workers.Nice, o.Logger = t.shards, t.nice, log
	srv, err := weir.New(o)
	if err != nil {
		return err
	}
	ctx, stop := untilSignal(ctx, log)
	defer stop()
	if err := srv.Listen(); err != nil {
		return err
	}
	t.apply(log)
	defer startGiveback()()
	logAddresses(srv, o, log)
	return srv.Run(ctx)
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
	log.Info("ready", "version", build.Version(), "revision", build.Revision(), "go", runtime.Version())
}
