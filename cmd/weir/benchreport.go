package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/streamweir/weir/internal/loadtest/report"
)

func benchReportCommand() *cobra.Command {
	var page string
	cmd := &cobra.Command{
		Use:   "report RUN.json...",
		Short: "Show results kept with --json again, or several side by side",
		Long: `Show results of weir bench that were kept with --json: as text, or with --html as one page with charts. Several are
compared with the first; each is called by the name of its file. '-' stands for stdin, and after --html for stdout.

The exit code says whether the files could be read and the report be written, not whether the runs were good.`,
		Example: `  weir bench report weir.json
  weir bench report npm.json weir.json --html comparison.html`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("want the JSON file of one run at least")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			runs, err := readRuns(args, cmd.InOrStdin())
			if err != nil {
				return err
			}
			switch page {
			case "":
				return report.WriteComparison(cmd.OutOrStdout(), runs...)
			case "-":
				return report.WriteHTML(cmd.OutOrStdout(), runs...)
			default:
				return writePage(page, runs)
			}
		},
	}
	cmd.Flags().StringVar(&page, "html", "", "write a page with charts to `FILE` instead of text")
	return cmd
}

// readRuns reads every file, and says of all that cannot be read why.
func readRuns(names []string, stdin io.Reader) ([]*report.Run, error) {
	var runs []*report.Run
	var faults []error
	for _, name := range names {
		r, err := readRun(name, stdin)
		if err != nil {
			faults = append(faults, err)
			continue
		}
		if len(names) > 1 {
			r.Label = strings.TrimSuffix(filepath.Base(name), ".json")
		}
		runs = append(runs, r)
	}
	return runs, errors.Join(faults...)
}

func readRun(name string, stdin io.Reader) (*report.Run, error) {
	if name == "-" {
		r, err := report.ReadJSON(stdin)
		if err != nil {
			return nil, fmt.Errorf("stdin: %w", err)
		}
		return r, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close() //nolint:errcheck // read only
	r, err := report.ReadJSON(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r, nil
}

// writePage makes the whole page before it touches the file.
func writePage(name string, runs []*report.Run) error {
	var b bytes.Buffer
	if err := report.WriteHTML(&b, runs...); err != nil {
		return err
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}
