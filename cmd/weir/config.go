package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/internal/config"
)

func configCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Print a starter configuration, what is in force, the schema, the environment variables",
		RunE:  needsCommand,
	}
	cmd.AddCommand(
		printer("init", "Print a commented file to begin with", func(w io.Writer) error { return write(w, config.Init()) }),
		printer("schema", "Print the JSON Schema of the file, for editors", func(w io.Writer) error { return write(w, config.Schema()) }),
		printer("env", "List the environment variables that override the file", writeEnv),
		configShow(),
	)
	return cmd
}

// printer is a command that prints what does not depend on anything.
func printer(name, short string, print func(io.Writer) error) *cobra.Command {
	return &cobra.Command{
		Use: name, Short: short, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return print(cmd.OutOrStdout()) },
	}
}

func write(w io.Writer, b []byte) error {
	_, err := w.Write(b)
	return err
}

func configShow() *cobra.Command {
	var f fileFlags
	var origins bool
	cmd := &cobra.Command{
		Use:   "show",
		Short: "Print every value in force, secrets masked",
		Long: `Print every value in force, secrets masked: the file's, else the environment's before it, else the default. Without
--config it shows the starter file of 'weir config init'.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := f.shown(cmd.ErrOrStderr())
			if err != nil {
				return err
			}
			style := config.Plain
			if origins {
				style = config.WithOrigins
			}
			return c.WriteYAML(cmd.OutOrStdout(), style)
		},
	}
	cmd.Flags().StringVarP(&f.path, "config", "c", "", "the configuration `FILE`")
	cmd.Flags().BoolVar(&origins, "origins", false, "say where each value comes from")
	return cmd
}

func (f fileFlags) shown(stderr io.Writer) (*config.Config, error) {
	if f.path != "" {
		return f.load(stderr)
	}
	return config.Parse("weir.yaml", config.Init(), config.LoadOptions{Environ: serverEnviron()})
}

// writeEnv lists the variables of the configuration and those of the commands that call a server.
func writeEnv(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tKEY\tVALUE\tDEFAULT")
	for _, e := range config.EnvNames() {
		fmt.Fprintln(t, strings.Join([]string{e.Name, e.Path, e.Type, e.Default}, "\t"))
	}
	fmt.Fprintf(t, "%s\t(publish, tail)\t--url\t%s\n%s\t(publish, tail)\t--key\t\n", envURL, defaultURL, envKey)
	return t.Flush()
}
