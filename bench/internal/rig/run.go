package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
)

// Run runs a command to its end. The error shows what it said on stderr last, and has its ExitCode. The end of ctx
// interrupts it as a person would, and lets it end by itself.
func Run(ctx context.Context, c Command) error {
	_, err := Output(ctx, c)
	return err
}

// Output is Run, and what the command wrote to stdout.
func Output(ctx context.Context, c Command) ([]byte, error) {
	cmd := c.exec(ctx)
	var said, complained bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &complained
	if err := cmd.Run(); err != nil {
		return said.Bytes(), fmt.Errorf("%s: %w\n%s", strings.Join(c.Args, " "), err, last(complained.String()))
	}
	return said.Bytes(), nil
}

// last keeps the end of what a command said.
func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-keptLog):], "\n")
}

// ExitCode is the status a command of Run ended with; 0 of no error, -1 if it did not end by itself.
func ExitCode(err error) int {
	var status *exec.ExitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		return status.ExitCode()
	}
	return -1
}
