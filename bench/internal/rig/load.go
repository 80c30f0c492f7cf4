package rig

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"
)

// loadRole is the argument by which a benchmark's program knows that it is the load process of another.
const loadRole = "load"

// RunLoad starts this program again as a load process, hands it in and decodes what it prints into out. It takes at
// most timeout.
func RunLoad(ctx context.Context, cpu string, timeout time.Duration, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	arg, err := json.Marshal(in)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := Command{CPU: cpu, Args: []string{self, loadRole, string(arg)}}.exec(ctx)
	cmd.Stderr = os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("load process: %w", err)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("load process answered %.200q: %w", answer, err)
	}
	return nil
}

// IsLoad reports whether this process is a load process; in gets what it was handed.
func IsLoad(in any) (bool, error) {
	if len(os.Args) != 3 || os.Args[1] != loadRole {
		return false, nil
	}
	return true, json.Unmarshal([]byte(os.Args[2]), in)
}

// Answer prints the load process's result for RunLoad.
func Answer(out any) error { return json.NewEncoder(os.Stdout).Encode(out) }
