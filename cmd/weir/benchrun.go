package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/internal/loadtest"
)

func benchRunCommand() *cobra.Command {
	var out output
	var url string
	var owned bool
	cmd := &cobra.Command{
		Use:   "run FILE",
		Short: "Run the scenarios of a file, one after the other",
		Long: `Run the scenarios of a YAML file, one after the other. Its keys are the flags of 'weir bench SCENARIO', and url and title:

  defaults:
    url: http://127.0.0.1:3000
    namespace: /feed
    topic: tick
  steps:
    - {scenario: connect, clients: 5000}
    - {scenario: fanout, title: as fast as it goes, window: 16, duration: 20s}

All that is wrong with the file is told at once, with its place.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			steps, err := loadtest.ReadFile(args[0], func(o *loadtest.Options) {
				if url != "" {
					o.Target.URL = url
				}
				o.Target.Owned = o.Target.Owned || owned
			})
			var wrong *loadtest.FileError
			if errors.As(err, &wrong) {
				fmt.Fprintln(cmd.ErrOrStderr(), wrong)
				return errReported
			}
			if err != nil {
				return err
			}
			return bench(cmd, steps, out)
		},
	}
	out.flags(cmd)
	cmd.Flags().StringVar(&url, "url", "", "the server, in place of the file's `URL`")
	cmd.Flags().BoolVar(&owned, "i-own-this-target", false, "the target is yours though it is not on this machine")
	return cmd
}
