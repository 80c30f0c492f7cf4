package systemtest_test

import (
	"context"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestGuidesProgramTellsATakenAddressAtOnce: the program that embedders copy ends with the reason, and not only when it is
// told to leave.
func TestGuidesProgramTellsATakenAddressAtOnce(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = taken.Close() })
	_, err = net.Listen("tcp", taken.Addr().String())
	var call *os.SyscallError
	if !errors.As(err, &call) {
		t.Fatalf("a taken address: %v", err)
	}
	reason := call.Err.Error()
	const port = `":8080"`
	tried := 0
	for i, snippet := range snippets(read(t, "docs/guide/embedding.md"), "go") {
		if !strings.Contains(snippet, port) {
			continue
		}
		tried++
		dir := t.TempDir()
		source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
		snippet = strings.ReplaceAll(snippet, port, `"`+taken.Addr().String()+`"`)
		if err := os.WriteFile(source, []byte(snippet), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", program, source).CombinedOutput(); err != nil {
			t.Fatalf("program %d: %v\n%s", i+1, err, out)
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		out, err := exec.CommandContext(ctx, program).CombinedOutput()
		if ctx.Err() != nil {
			t.Errorf("program %d goes on without an address", i+1)
		}
		cancel()
		var exit *exec.ExitError
		if !errors.As(err, &exit) || !strings.Contains(string(out), reason) {
			t.Errorf("program %d: %v, %q, want it to fail with %q", i+1, err, out, reason)
		}
	}
	if tried == 0 {
		t.Error("no program of the guide opens a port")
	}
}
