package config_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/config"
)

// TestStaticTokenGrantsWhatItsEntrySays: an empty list grants nothing, and only an entry without any list leaves it to
// the namespaces.
func TestStaticTokenGrantsWhatItsEntrySays(t *testing.T) {
	for entry, want := range map[string]*weir.Grants{
		`x`:                             nil,
		`{token: x}`:                    nil,
		`{token: x, rooms: [staff]}`:    nil,
		`{token: x, sub: []}`:           {},
		`{token: x, pub: []}`:           {},
		`{token: x, history: []}`:       {},
		`{token: x, sub: }`:             {},
		`{token: x, sub: ~, pub: [a]}`:  {Publish: []string{"a"}},
		`{token: x, sub: ["prices*"]}`:  {Subscribe: []string{"prices*"}},
		`{token: x, history: [orders]}`: {History: []string{"orders"}},
	} {
		c := parse(t, portFile+"access: {staticTokens: {alice: "+entry+"}}", config.LoadOptions{})
		id, err := c.Options.Authenticate(t.Context(), request("x"))
		if err != nil {
			t.Fatalf("%s: %v", entry, err)
		}
		if diff := cmp.Diff(want, id.Grants); diff != "" {
			t.Errorf("%s: -want +got:\n%s", entry, diff)
		}
	}
}
