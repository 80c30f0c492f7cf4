package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/internal/loadtest/report"
)

// output is where the results of load tests go, besides the table on stdout.
type output struct {
	json, html string
	quiet      bool
}

func (o *output) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&o.json, "json", "", "write the result to `FILE` as JSON; -: to stdout, and the table to stderr")
	cmd.Flags().StringVar(&o.html, "html", "", "write the result to `FILE` as one page with charts")
	cmd.Flags().BoolVar(&o.quiet, "quiet", false, "show no progress")
}

func (o *output) progress(w io.Writer) *report.Progress {
	if o.quiet {
		w = io.Discard
	}
	return report.NewProgress(w)
}

// text writes the table.
func (o *output) text(cmd *cobra.Command, run *report.Run) error {
	w := cmd.OutOrStdout()
	if o.json == "-" {
		w = cmd.ErrOrStderr()
	}
	return run.WriteText(w)
}

// files writes the other forms. Several results make one page, and a JSON file each.
func (o *output) files(cmd *cobra.Command, runs []*report.Run) error {
	if len(runs) == 0 {
		return nil
	}
	var problems []error
	for i, run := range runs {
		switch o.json {
		case "":
		case "-":
			problems = append(problems, run.WriteJSON(cmd.OutOrStdout()))
		default:
			problems = append(problems, writeResult(o.jsonName(i, runs), run.WriteJSON))
		}
	}
	if o.html != "" {
		problems = append(problems, writeResult(o.html, func(w io.Writer) error { return report.WriteHTML(w, runs...) }))
	}
	return errors.Join(problems...)
}

// jsonName is the file of result i: as asked for if it is the only one, else with its number and scenario.
func (o *output) jsonName(i int, runs []*report.Run) string {
	if len(runs) == 1 {
		return o.json
	}
	end := filepath.Ext(o.json)
	return fmt.Sprintf("%s-%d-%s%s", strings.TrimSuffix(o.json, end), i+1, runs[i].Scenario, end)
}

func writeResult(path string, content func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	if err := errors.Join(content(f), f.Close()); err != nil {
		return fmt.Errorf("write the result to %s: %w", path, err)
	}
	return nil
}
