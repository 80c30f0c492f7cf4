package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func checkCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE",
		Short: "Say what is wrong with a configuration file, all at once",
		Long: `Say what is wrong with a configuration file: every problem at once with its line, then what works but perhaps not as
expected. The environment counts, as for serve. Exit code 0 without problems, warnings or not; 1 with.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			out := cmd.OutOrStdout()
			c, err := fileFlags{path: args[0]}.load(out)
			if err != nil {
				return err
			}
			for _, w := range c.Warnings {
				fmt.Fprintf(out, "warning: %v\n", w)
			}
			fmt.Fprintf(out, "%s: no problems, %s\n", args[0], counted(len(c.Warnings), "warning"))
			return nil
		},
	}
}

func counted(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
