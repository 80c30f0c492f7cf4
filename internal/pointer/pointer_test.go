package pointer_test

import (
	"testing"

	"github.com/streamweir/weir/internal/pointer"
)

func TestKeyIsWhatThePointerNames(t *testing.T) {
	payload := []byte(`{"symbol":"A","n":1.50,"a/b":{"c~d":"deep"},"list":[{"x":"first"},true],"dots.in|names":"dots","":"empty"}`)
	for p, want := range map[string]string{
		"/symbol": "A", "/n": "1.50", "/a~1b/c~0d": "deep", "/list/0/x": "first", "/list/1": "true",
		"/dots.in|names": "dots", "/missing": "", "/symbol/deeper": "", "/list/7": "",
	} {
		if got := pointer.Key(p)(payload); got != want {
			t.Errorf("%s: %q, want %q", p, got, want)
		}
	}
	if pointer.Key("") != nil {
		t.Error("no pointer has a key")
	}
}
