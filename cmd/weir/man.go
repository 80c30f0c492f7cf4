package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/streamweir/weir/internal/build"
)

// manCommand writes the manual pages that a release carries. It is hidden: whoever has the binary has --help.
func manCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write a manual page for each command to DIR",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			date := build.Time()
			if date.IsZero() {
				date = time.Unix(0, 0).UTC() // two builds of one revision make the same pages
			}
			header := &doc.GenManHeader{Section: "1", Source: "weir " + build.Version(), Manual: "Weir", Date: &date}
			return doc.GenManTree(cmd.Root(), header, args[0])
		},
	}
}
