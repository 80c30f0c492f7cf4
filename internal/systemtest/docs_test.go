package systemtest_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir"
	"github.com/streamweir/weir/internal/base"
	"github.com/streamweir/weir/internal/config"
	"github.com/streamweir/weir/internal/link"
)

// These tests hold the documentation to the code.

func TestPromisesNameTestsThatExist(t *testing.T) {
	goTests, titles := goTestNames(t), conformanceTitles(t)
	named := regexp.MustCompile("`((?:Test|Fuzz)[A-Z]\\w*)`")
	for _, path := range documents(t) {
		for _, m := range named.FindAllStringSubmatch(read(t, path), -1) {
			if !goTests[m[1]] {
				t.Errorf("%s: there is no test %s", path, m[1])
			}
		}
	}
	titled := regexp.MustCompile("`([1-3]\\.\\d+ [^`]+)`")
	promises := read(t, "docs/promises.md")
	for _, m := range titled.FindAllStringSubmatch(promises, -1) {
		if !strings.Contains(titles, m[1]) {
			t.Errorf("conformance has no test %q", m[1])
		}
	}
	var rows []string
	for _, row := range tableRows(promises) {
		rows = append(rows, row[0])
		if !named.MatchString(row[3]) && !titled.MatchString(row[3]) {
			t.Errorf("%s names no test", row[0])
		}
	}
	if want := strings.Fields("P1 P2 P3 P4 P5 P6 P7 P8 P9 P10 P11"); !slices.Equal(rows, want) {
		t.Errorf("rows %v, want %v", rows, want)
	}
}

func TestDocumentListsEveryCode(t *testing.T) {
	var want [][]string
	for _, c := range base.Codes {
		want = append(want, []string{c.Name, strconv.Itoa(c.Status), yesNo(c.Retryable), c.Where})
	}
	got := columns(section(t, "docs/errors.md", "Codes"), 4)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/errors.md against base.Codes (-code +document):\n%s", diff)
	}
}

func TestDocumentListsEveryRefusal(t *testing.T) {
	var want [][]string
	link.Refusals(func(reason string, status int) {
		text := ""
		if status != 0 {
			text = strconv.Itoa(status)
		}
		want = append(want, []string{reason, text})
	})
	got := columns(section(t, "docs/errors.md", "Refused handshakes"), 2)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/errors.md against link.Refusals (-code +document):\n%s", diff)
	}
}

func TestDocumentListsEveryCloseCause(t *testing.T) {
	var want [][]string
	for c := range base.Cause(base.Causes) {
		want = append(want, []string{c.String(), c.SocketReason(), yesNo(c.Reconnects())})
	}
	got := columns(section(t, "docs/errors.md", "Close causes"), 3)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/errors.md against base.Cause (-code +document):\n%s", diff)
	}
}

func TestDocumentListsEveryDropReason(t *testing.T) {
	var want [][]string
	for r := range base.Reason(base.Reasons) {
		want = append(want, []string{r.String()})
	}
	got := columns(section(t, "docs/errors.md", "Drop reasons"), 1)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("docs/errors.md against base.Reason (-code +document):\n%s", diff)
	}
}

// setting is what docs/configuration.md has to say of a key: its default, and
// whether a later version only lets it have another value.
type setting struct {
	Default string
	Later   bool
}

func TestDocumentListsEveryKeyOfTheConfiguration(t *testing.T) {
	var root schema
	if err := json.Unmarshal(config.Schema(), &root); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]setting)
	root.keys("", want)
	if diff := cmp.Diff(want, documentedKeys(t)); diff != "" {
		t.Errorf("docs/configuration.md against the schema (-code +document):\n%s", diff)
	}
}

// schema is as much of JSON Schema as config.Schema uses for keys.
type schema struct {
	Properties           map[string]*schema
	AdditionalProperties json.RawMessage
	Items                *schema
	AnyOf                []*schema
	Required             []string
	Default              json.RawMessage
	Description          string
}

func (s *schema) keys(path string, into map[string]setting) {
	for name, p := range s.Properties {
		at := name
		if path != "" {
			at = path + "." + name
		}
		d := setting{Default: plainDefault(p.Default), Later: strings.Contains(p.Description, "which this version of Weir does not have")}
		if slices.Contains(s.Required, name) {
			d.Default = "required"
		}
		into[at] = d
		p.keys(at, into)
	}
	for _, a := range s.AnyOf {
		a.keys(path, into)
	}
	if s.Items != nil {
		s.Items.keys(path+"[]", into)
	}
	var named schema
	if json.Unmarshal(s.AdditionalProperties, &named) == nil {
		named.keys(path+".NAME", into)
	}
}

// plainDefault writes a default as the document does: words without quotes.
func plainDefault(raw json.RawMessage) string {
	var text string
	if json.Unmarshal(raw, &text) == nil && text != "" {
		return text
	}
	var compact bytes.Buffer
	if json.Compact(&compact, raw) != nil {
		return "" // none: a mapping
	}
	return compact.String()
}

// documentedKeys reads the tables of keys. A heading names in backticks the
// mappings whose keys the table below it has; none is the file itself.
func documentedKeys(t *testing.T) map[string]setting {
	t.Helper()
	keys := make(map[string]setting)
	places := []string{""}
	code := regexp.MustCompile("`([^`]+)`")

	for line := range strings.Lines(read(t, "docs/configuration.md")) {
		if strings.HasPrefix(line, "##") {
			places = nil
			for _, m := range code.FindAllStringSubmatch(line, -1) {
				places = append(places, m[1]+".")
			}
			if places == nil {
				places = []string{""}
			}
			continue
		}
		row := cells(line)
		if len(row) != 4 || !strings.HasPrefix(row[0], "`") {
			continue
		}
		later := strings.Contains(row[3], "**needs**")
		for _, place := range places {
			at := place + strings.Trim(row[0], "`")
			if _, twice := keys[at]; twice {
				t.Errorf("docs/configuration.md: %s is there twice", at)
			}
			keys[at] = setting{Default: strings.Trim(row[2], "`"), Later: later}
		}
	}
	return keys
}

func TestDocumentedRoutesOfTheManagementAPIExist(t *testing.T) {
	srv, err := weir.New(weir.Options{Namespaces: []weir.NamespaceOptions{{Path: "/feed"}}})
	if err != nil {
		t.Fatal(err)
	}
	api := srv.Management()
	route := regexp.MustCompile(`\b(GET|POST) (/(?:api|debug)/[a-z/]*)`)
	found := 0
	for _, path := range documents(t) {
		for _, m := range route.FindAllStringSubmatch(read(t, path), -1) {
			found++
			answer := httptest.NewRecorder()
			api.ServeHTTP(answer, httptest.NewRequest(http.MethodPatch, m[2], nil)) // refused with what is allowed
			if allow := answer.Header().Get("Allow"); !strings.Contains(allow, m[1]) {
				t.Errorf("%s: %s %s is not served (allowed: %q)", path, m[1], m[2], allow)
			}
		}
	}
	if found == 0 {
		t.Error("no route found in any document")
	}
}

func TestLinksOfDocumentsLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, path := range documents(t) {
		for _, m := range link.FindAllStringSubmatch(withoutCode(read(t, path)), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, fragment, _ := strings.Cut(m[1], "#")
			target := path
			if file != "" {
				target = filepath.Join(filepath.Dir(path), file)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s: link %s: %v", path, m[1], err)
				continue
			}
			if fragment != "" && !slices.Contains(anchors(read(t, target)), fragment) {
				t.Errorf("%s: link %s: %s has no such heading", path, m[1], target)
			}
		}
	}
}

// Every room is in the table by which newcomers find their way, and every room of the table is there.
func TestContributingNamesEveryRoom(t *testing.T) {
	named := make(map[string]bool)
	for _, m := range regexp.MustCompile("`(internal/[a-z/]+)`").FindAllStringSubmatch(section(t, "CONTRIBUTING.md", "Where things live"), -1) {
		named[m[1]] = true
		if _, err := os.Stat(m[1]); err != nil {
			t.Errorf("CONTRIBUTING.md: %v", err)
		}
	}
	rooms := make(map[string]bool)
	walk(t, func(file string) {
		if room := path.Dir(file); strings.HasPrefix(room, "internal/") && strings.HasSuffix(file, ".go") {
			rooms[room] = true
		}
	})
	for room := range rooms {
		if !named[room] {
			t.Errorf("CONTRIBUTING.md does not say what %s is for", room)
		}
	}
}

func TestSnippetsOfDocumentsAreGoodPrograms(t *testing.T) {
	dir := t.TempDir()
	for _, path := range documents(t) {
		for i, snippet := range snippets(read(t, path), "go") {
			if !strings.HasPrefix(snippet, "package main\n") {
				t.Errorf("%s: Go snippet %d is not a program, so nothing checks it", path, i+1)
				continue
			}
			file := filepath.Join(dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(path, "/", "-"), i+1), "main.go")
			if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(snippet), 0o600); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.CommandContext(t.Context(), "go", "vet", file).CombinedOutput(); err != nil {
				t.Errorf("%s: Go snippet %d: %v\n%s", path, i+1, err, out)
			}
		}
	}
}

func TestConfigurationsOfDocumentsLoad(t *testing.T) {
	files := map[string]string{"examples/browser/weir.yaml": read(t, "examples/browser/weir.yaml")}
	for _, path := range documents(t) {
		for i, snippet := range snippets(read(t, path), "yaml") {
			if strings.HasPrefix(snippet, "weir: 1\n") {
				files[fmt.Sprintf("%s-%d.yaml", path, i+1)] = snippet
			}
		}
	}
	for name, src := range files {
		c, err := config.Parse(name, []byte(src), config.LoadOptions{Environ: []string{"API_KEY=secret", "TOKEN=secret"}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for _, w := range c.Warnings {
			t.Errorf("%s: warning: %v", name, w)
		}
	}
}

// documents are the Markdown files of the repository.
func documents(t *testing.T) (paths []string) {
	t.Helper()
	walk(t, func(path string) {
		if strings.HasSuffix(path, ".md") {
			paths = append(paths, path)
		}
	})
	return paths
}

// walk calls f for every file that is ours.
func walk(t *testing.T, f func(path string)) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch name := d.Name(); {
		case err != nil:
			return err
		case d.IsDir() && path != "." && (name == "node_modules" || name == "testdata" || (name[0] == '.' && name != ".ci")):
			return fs.SkipDir
		case !d.IsDir():
			f(filepath.ToSlash(path))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func goTestNames(t *testing.T) map[string]bool {
	t.Helper()
	names := make(map[string]bool)
	walk(t, func(path string) {
		if !strings.HasSuffix(path, "_test.go") {
			return
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
				names[f.Name.Name] = true
			}
		}
	})
	return names
}

func conformanceTitles(t *testing.T) string {
	t.Helper()
	files, err := filepath.Glob("conformance/*.test.mjs")
	if err != nil || len(files) == 0 {
		t.Fatalf("conformance tests: %v, %v", files, err)
	}
	var all strings.Builder
	for _, f := range files {
		all.WriteString(read(t, f))
	}
	return all.String()
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// section is the text below a heading, up to the next of the same level.
func section(t *testing.T, path, heading string) string {
	t.Helper()
	_, after, ok := strings.Cut(read(t, path), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("%s has no section %q", path, heading)
	}
	before, _, _ := strings.Cut(after, "\n## ")
	return before
}

// tableRows are the rows of all tables of a text, without heads.
func tableRows(text string) (rows [][]string) {
	head := true
	for line := range strings.Lines(text) {
		row := cells(line)
		switch {
		case row == nil:
			head = true
		case strings.HasPrefix(row[0], "---"):
			head = false
		case !head:
			rows = append(rows, row)
		}
	}
	return rows
}

// columns are the first n columns of a text's tables, without backticks.
func columns(text string, n int) (out [][]string) {
	for _, row := range tableRows(text) {
		row = slices.Clone(row[:min(n, len(row))])
		for i := range row {
			row[i] = strings.Trim(row[i], "`")
		}
		out = append(out, row)
	}
	return out
}

// cells are those of one line of a table, nil if it is not one.
func cells(line string) []string {
	line = strings.TrimSpace(line)
	if !strings.HasPrefix(line, "|") || !strings.HasSuffix(line, "|") || len(line) < 2 {
		return nil
	}
	row := strings.Split(line[1:len(line)-1], "|")
	for i := range row {
		row[i] = strings.TrimSpace(row[i])
	}
	return row
}

// snippets are the fenced blocks of a language.
func snippets(text, language string) (out []string) {
	for {
		_, after, ok := strings.Cut(text, "\n```"+language+"\n")
		if !ok {
			return out
		}
		var block string
		block, text, _ = strings.Cut(after, "\n```")
		out = append(out, block+"\n")
	}
}

// withoutCode removes fenced blocks and code spans: what looks like a link there
// is none.
func withoutCode(text string) string {
	text = regexp.MustCompile("(?s)\n```.*?\n```").ReplaceAllString(text, "")
	return regexp.MustCompile("`[^`\n]*`").ReplaceAllString(text, "")
}

// anchors are the fragments by which a document's headings can be linked to, as
// GitHub makes them.
func anchors(text string) (list []string) {
	dropped := regexp.MustCompile(`[^\p{L}\p{N}\- _]`)
	seen := make(map[string]int)
	for line := range strings.Lines(text) {
		title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " ")
		if !strings.HasPrefix(line, "#") || !ok {
			continue
		}
		a := strings.ReplaceAll(dropped.ReplaceAllString(strings.ToLower(strings.TrimSpace(title)), ""), " ", "-")
		if seen[a]++; seen[a] > 1 {
			a += "-" + strconv.Itoa(seen[a]-1)
		}
		list = append(list, a)
	}
	return list
}
