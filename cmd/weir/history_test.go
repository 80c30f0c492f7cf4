package main

import "testing"

// What a terminal obeys is printed as an escape, and stays the same JSON.
func TestHistoryIsHarmlessOnATerminal(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":"b"}`: `{"a":"b"}`, "\"\u009b31m\u007f\"": `"\u009b31m\u007f"`, "\"\u202egnp.exe\"": `"\u202egnp.exe"`, `"äλ😀"`: `"äλ😀"`,
		"\"\x9b\"": `"\ufffd"`, "{\n\t}": "{  }", "\"\x1b[2J\"": `"\u001b[2J"`,
	} {
		if got := string(harmless([]byte(in))); got != want {
			t.Errorf("%q is printed as %q, want %q", in, got, want)
		}
	}
}
