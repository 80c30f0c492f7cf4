package base_test

import (
	"encoding"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/base"
)

// The names are outside contract: configuration (configuration.md), metric labels
// (5.6), close causes (5.4). A changed name breaks somebody's file or dashboard.

func TestConfigurationNamesRoundTrip(t *testing.T) {
	for want, v := range map[string]interface {
		fmt.Stringer
		encoding.TextMarshaler
	}{
		"BEST_EFFORT": base.BestEffort, "AT_LEAST_ONCE": base.AtLeastOnce,
		"DROP_OLDEST": base.DropOldest, "REJECT_NEW": base.RejectNew, "COALESCE": base.Coalesce,
		"SNAPSHOT_ONLY": base.SnapshotOnly, "SPILL_TO_DISK": base.SpillToDisk, "DISCONNECT": base.Disconnect,
		"js": base.ShapeJS, "envelope": base.ShapeEnvelope,
	} {
		text, err := v.MarshalText()
		if err != nil || string(text) != want || v.String() != want {
			t.Errorf("%T: text %q (%v), string %q, want %q", v, text, err, v.String(), want)
		}
		if back := parsed(t, v, want); back != v {
			t.Errorf("%q parses as %v, want %v", want, back, v)
		}
	}
}

// parsed reads text into a new value of v's type that was something else.
func parsed(t *testing.T, v any, text string) any {
	t.Helper()
	var err error
	defer func() {
		if err != nil {
			t.Errorf("parse %q: %v", text, err)
		}
	}()
	switch v.(type) {
	case base.Mode:
		m := base.Mode(99)
		err = m.UnmarshalText([]byte(text))
		return m
	case base.Overflow:
		o := base.Overflow(99)
		err = o.UnmarshalText([]byte(text))
		return o
	default:
		s := base.Shape(99)
		err = s.UnmarshalText([]byte(text))
		return s
	}
}

func TestUnknownNameSaysWhatIsWanted(t *testing.T) {
	mode, overflow, shape := base.AtLeastOnce, base.Coalesce, base.ShapeEnvelope
	for key, c := range map[string]struct {
		into encoding.TextUnmarshaler
		want []string
	}{
		"deliveryMode":   {&mode, []string{"BEST_EFFORT", "AT_LEAST_ONCE"}},
		"overflowAction": {&overflow, []string{"DROP_OLDEST", "REJECT_NEW", "COALESCE", "SNAPSHOT_ONLY", "SPILL_TO_DISK", "DISCONNECT"}},
		"dialect":        {&shape, []string{"js", "envelope"}},
	} {
		for _, text := range []string{"", "drop_oldest", "DROP_OLDEST ", "best_effort", "JS"} {
			err := c.into.UnmarshalText([]byte(text))
			if err == nil {
				t.Errorf("%s accepts %q", key, text)
				continue
			}
			for _, part := range append(c.want, key, fmt.Sprintf("%q", text)) {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%s: %q does not mention %s", key, err, part)
				}
			}
		}
	}
	if mode != base.AtLeastOnce || overflow != base.Coalesce || shape != base.ShapeEnvelope {
		t.Errorf("a refused name changed the value: %v %v %v", mode, overflow, shape)
	}
}

func TestNumbersWithoutANameAreShown(t *testing.T) {
	for _, v := range []fmt.Stringer{base.Mode(200), base.Overflow(200), base.Shape(200), base.Reason(200)} {
		if !strings.Contains(v.String(), "200") {
			t.Errorf("%T(200) is %q", v, v.String())
		}
	}
}

func TestEveryReasonHasTheNameOfPromiseP5(t *testing.T) {
	want := []string{"overflow", "expired", "rejected", "too_large", "disconnect", "unsubscribe", "budget", "exhausted", "spill_failed", "retention"}
	var got []string
	for r := range base.Reasons {
		got = append(got, base.Reason(r).String())
	}
	if !slices.Equal(got, want) {
		t.Errorf("reasons %v, want %v", got, want)
	}
}

// socketReasons is protocol.md 2.10.
var socketReasons = []string{
	"transport error", "transport close", "forced close", "ping timeout", "parse error", "server shutting down",
	"forced server close", "client namespace disconnect", "server namespace disconnect",
}

func TestEveryCauseHasANameAndASocketReason(t *testing.T) {
	seen := make(map[string]bool)
	for i := range base.Causes {
		c := base.Cause(i)
		name := c.String()
		if name == "" || seen[name] || name != strings.ToLower(name) || strings.Contains(name, " ") {
			t.Errorf("cause %d: name %q is empty, taken or no metric label", i, name)
		}
		seen[name] = true
		if !slices.Contains(socketReasons, c.SocketReason()) {
			t.Errorf("%s: disconnect reason %q is not Socket.IO's", name, c.SocketReason())
		}
	}
}

// Design 5.4, "Close causes"; and the official clients come back after anything
// but a namespace disconnect.
func TestCausesReconnectAsDesigned(t *testing.T) {
	for c, want := range map[base.Cause]bool{
		base.CauseSlowConsumer: true, base.CauseMemoryBudget: true, base.CauseDraining: true, base.CauseAdmin: true,
		base.CauseTokenExpired: false, base.CauseForbidden: false, base.CauseRateLimited: false,
	} {
		if c.Reconnects() != want {
			t.Errorf("%s reconnects: %v, want %v", c, c.Reconnects(), want)
		}
	}
	for i := range base.Causes {
		c := base.Cause(i)
		if namespace := strings.HasSuffix(c.SocketReason(), "namespace disconnect"); c.Reconnects() == namespace {
			t.Errorf("%s: reason %q, reconnects %v", c, c.SocketReason(), c.Reconnects())
		}
	}
}
