package base_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
)

func TestEveryCodeIsACompleteRow(t *testing.T) {
	seen := make(map[string]bool)
	for _, c := range base.Codes {
		if c.Name == "" || seen[c.Name] || c.Name != strings.ToLower(c.Name) {
			t.Errorf("code name %q is empty, taken or not in lower case", c.Name)
		}
		seen[c.Name] = true
		if c.Status < 400 || http.StatusText(c.Status) == "" {
			t.Errorf("%s: status %d is not that of an error", c.Name, c.Status)
		}
		if c.Where == "" || c.Advice == "" {
			t.Errorf("%s: where %q, advice %q", c.Name, c.Where, c.Advice)
		}
	}
}

func TestErrorIsItsCodeWhateverTheReason(t *testing.T) {
	err := fmt.Errorf("publish: %w", &base.Error{Code: base.CodeBusy, Reason: "inbox of shard 3 is full", Cause: io.ErrShortWrite})
	if !errors.Is(err, &base.Error{Code: base.CodeBusy}) {
		t.Error("not the code it has")
	}
	if errors.Is(err, &base.Error{Code: base.CodeLimited}) {
		t.Error("a code it has not")
	}
	if !errors.Is(err, io.ErrShortWrite) {
		t.Error("not its cause")
	}
}

// A cause is for logs: it may name files, addresses, keys.
func TestErrorTextHidesTheCause(t *testing.T) {
	for want, e := range map[string]*base.Error{
		"busy":           {Code: base.CodeBusy, Cause: io.ErrShortWrite},
		"busy: try soon": {Code: base.CodeBusy, Reason: "try soon", Cause: io.ErrShortWrite},
	} {
		if e.Error() != want {
			t.Errorf("text %q, want %q", e.Error(), want)
		}
	}
}
