package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/streamweir/weir/internal/config"
)

// firstProblem reads one key of a file in every form a value can have.
func firstProblem(name, text string, environ ...string) string {
	_, err := config.Parse(name, []byte(text), config.LoadOptions{Environ: environ})
	if err == nil {
		return ""
	}
	_, message, _ := strings.Cut(err.Error(), ": ")
	return message
}

func TestNumbersAreNeverGuessed(t *testing.T) {
	for _, c := range []struct{ value, want string }{
		{"5", ""},
		{"0", ""},
		{"1e3", ""},
		{"5.0", ""},
		{"-1", "-1 is not a whole number from 0 to 4096"},
		{"5.5", "5.5 is not a whole number from 0 to 4096"},
		{"1e400", "1e400 is not a whole number from 0 to 4096"},
		{"99999999999999999999", "99999999999999999999 is not a whole number from 0 to 4096"},
		{"010", "010 is not a plain decimal number, want a whole number from 0 to 4096"},
		{"0x10", "0x10 is not a plain decimal number, want a whole number from 0 to 4096"},
		{"0o17", "0o17 is not a plain decimal number, want a whole number from 0 to 4096"},
		{"1_000", "1_000 is not a plain decimal number, want a whole number from 0 to 4096"},
		{"+5", "+5 is not a plain decimal number, want a whole number from 0 to 4096"},
		{".inf", ".inf is not a plain decimal number, want a whole number from 0 to 4096"},
		{`"5"`, `"5" is text, want a whole number from 0 to 4096: remove the quotes`},
		{"five", `"five" is not a number, want a whole number from 0 to 4096`},
		{"true", "true is not a number, want a whole number from 0 to 4096"},
		{"", "has no value, want a whole number from 0 to 4096; or remove the key"},
		{"~", "has no value, want a whole number from 0 to 4096; or remove the key"},
		{"[5]", "is a list, want a whole number from 0 to 4096"},
		{"{a: 5}", "is a mapping, want a whole number from 0 to 4096"},
		{`"${FIVE}"`, ""},
		{"${FIVE}${FIVE}", ""},
		{"${WORD}", "${WORD} is not a number, want a whole number from 0 to 4096"},
	} {
		got := firstProblem("weir.yaml", "shards: "+c.value+"\nweir: 1\nservers: {a: {namespaces: [{path: /}]}}", "FIVE=5", "WORD=word")
		if want := strings.TrimPrefix("shards: "+c.want, "shards: "); strings.TrimPrefix(got, "shards: ") != want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.value, got, want)
		}
	}
}

func TestWordsAreNeverGuessed(t *testing.T) {
	for _, c := range []struct{ key, value, want string }{
		{"credentials", "yes", `"yes" is not true or false`},
		{"credentials", "True", "True is not true or false"},
		{"credentials", `"true"`, `"true" is text, want true or false: remove the quotes`},
		{"credentials", "1", "1 is not true or false"},
		{"host", "127", "127 is a number, want text: quote it"},
		{"host", "true", "true is true or false, want text: quote it"},
		{"host", "0x7f", "0x7f means different things to different readers of YAML: quote it"},
		{"auth", "none", `"none" is not one of NONE, TOKEN; did you mean NONE?`},
		{"auth", "no", `"no" is not one of NONE, TOKEN`},
	} {
		got := firstProblem("weir.yaml", "weir: 1\nservers: {a: {"+c.key+": "+c.value+", namespaces: [{path: /}]}}")
		if want := "servers.a." + c.key + ": " + c.want; got != want {
			t.Errorf("%s: %s:\ngot  %s\nwant %s", c.key, c.value, got, want)
		}
	}
}

func TestDollarSignsCanBeWritten(t *testing.T) {
	c := parse(t, portFile+"access: {staticTokens: {alice: 'a$$b$c$${D}$'}}", config.LoadOptions{})
	if _, err := c.Options.Authenticate(t.Context(), request("a$b$c${D}$")); err != nil {
		t.Errorf("the token is not a$b$c${D}$: %v", err)
	}
}

func TestFilesOfSecretsMayBeLinksAndEndInNewlines(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("target", "/from-a-file\r\n")
	write("weir.yaml", "weir: 1\nservers: {feed: {socketio: {path: '${file:link}'}, namespaces: [{path: /}]}}")
	if err := os.Symlink("target", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(filepath.Join(dir, "weir.yaml"), config.LoadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Options.Servers[0].SocketIO.Path; got != "/from-a-file" {
		t.Errorf("the file says %q", got)
	}
	for _, s := range c.Effective() {
		if s.Value == "/from-a-file" {
			t.Errorf("%s shows what a file of a secret says", s.Path)
		}
	}
}

func TestDeepAndCircularFilesAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"brackets": strings.Repeat("[", 5000),
		"mappings": strings.Repeat("{a: ", 5000),
		"dashes":   strings.Repeat("- ", 5000),
		"anchors":  "a: &a [*a]\n",
	} {
		if _, err := config.Parse("weir.yaml", []byte(text), config.LoadOptions{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	deep := strings.Repeat("[", 5000) + strings.Repeat("]", 5000)
	if got := firstProblem("weir.json", deep); got != "not JSON: nested deeper than 64 levels" {
		t.Errorf("JSON: %s", got)
	}
}

func TestOnlyRegularFilesOfKnownFormatAreRead(t *testing.T) {
	if _, err := config.Load("testdata", config.LoadOptions{}); err == nil || err.Error() != "read configuration: testdata is not a regular file" {
		t.Errorf("a directory: %v", err)
	}
	if _, err := config.Load("testdata/none.yaml", config.LoadOptions{}); err == nil || !strings.HasPrefix(err.Error(), "read configuration: ") {
		t.Errorf("no file: %v", err)
	}
	if got := firstProblem("weir.toml", ""); got != "want a file that ends in .yaml, .yml or .json" {
		t.Errorf("another format: %s", got)
	}
}
