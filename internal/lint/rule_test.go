package lint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/streamweir/weir/internal/lint"
)

// module is a fake tree: file name to source.
type module map[string]string

// check runs the rule of that name over m and returns "file:line" of each finding.
func (m module) check(t *testing.T, name string) []string {
	t.Helper()
	fsys := fstest.MapFS{"go.mod": {Data: []byte("module example.org/weir\n\ngo 1.26\n")}}
	for file, src := range m {
		fsys[file] = &fstest.MapFile{Data: []byte(src)}
	}
	tree, err := lint.Load(fsys)
	if err != nil {
		t.Fatal(err)
	}
	var places []string
	for _, f := range find(t, name).Check(tree) {
		places = append(places, fmt.Sprintf("%s:%d", f.File, f.Line))
	}
	return places
}

func find(t *testing.T, name string) lint.Rule {
	t.Helper()
	rules := lint.Rules()
	i := slices.IndexFunc(rules, func(r lint.Rule) bool { return r.Name == name })
	if i < 0 {
		t.Fatalf("no rule %q", name)
	}
	return rules[i]
}

// lines returns a file of the package p with n lines.
func lines(n int) string { return "package p\n" + strings.Repeat("//\n", n-1) }

// A rule catches what it forbids, at its line, and leaves what it allows alone.
func TestRulesCatchTheirViolation(t *testing.T) {
	for _, c := range []struct {
		rule string
		says string
		tree module
		want []string
	}{
		{
			rule: "import table", says: "a room imports what its row does not list",
			tree: module{"internal/lane/a.go": "package lane\n\nimport (\n\t\"time\"\n\n\t\"example.org/weir/internal/base\"\n\t\"example.org/weir/internal/vfs\"\n)\n"},
			want: []string{"internal/lane/a.go:7"},
		},
		{
			rule: "import table", says: "a package has no row; one finding however many files",
			tree: module{"internal/stray/a.go": "package stray\n", "internal/stray/b.go": "package stray\n"},
			want: []string{"internal/stray/a.go:1"},
		},
		{
			rule: "import table", says: "a pure room imports another module or C",
			tree: module{
				"internal/wheel/a.go":    "package wheel\n\nimport \"golang.org/x/sync/errgroup\"\n",
				"internal/wire/eio/a.go": "package eio\n\nimport \"C\"\n",
				"internal/admin/a.go":    "package admin\n\nimport \"golang.org/x/sync/errgroup\"\n",
			},
			want: []string{"internal/wheel/a.go:3", "internal/wire/eio/a.go:3"},
		},
		{
			rule: "import table", says: "a prefix row covers what lies below, not the room itself",
			tree: module{
				"internal/transport/a.go": "package transport\n\nimport \"example.org/weir/internal/wire/ws\"\n",
				"internal/engineio/a.go":  "package engineio\n\nimport \"example.org/weir/internal/wire/ws\"\n",
				"internal/wire/a.go":      "package wire\n",
			},
			want: []string{"internal/engineio/a.go:3", "internal/wire/a.go:1"},
		},
		{
			rule: "import table", says: "the cluster contract knows nothing, its brokers know it and base",
			tree: module{
				"cluster/a.go":       "package cluster\n\nimport \"example.org/weir/internal/base\"\n",
				"cluster/redis/a.go": "package redis\n\nimport \"example.org/weir/internal/base\"\nimport \"example.org/weir/cluster\"\n",
			},
			want: []string{"cluster/a.go:3"},
		},
		{
			rule: "import table", says: "the root does not import what stands above it",
			tree: module{"a.go": "package weir\n\nimport _ \"example.org/weir/internal/delivery\"\nimport _ \"example.org/weir/internal/config\"\n"},
			want: []string{"a.go:4"},
		},
		{
			rule: "import table", says: "nobody but the binary imports what imports the root",
			tree: module{
				"internal/guard/a.go": "package guard\n\nimport _ \"example.org/weir\"\n",
				"cmd/weir/main.go":    "package main\n\nimport _ \"example.org/weir\"\n",
			},
			want: []string{"internal/guard/a.go:3"},
		},
		{
			rule: "import table", says: "tests, ignored directories and nested modules are free; build tags are not",
			tree: module{
				"internal/lane/a_test.go":         "package lane_test\n\nimport _ \"example.org/weir/internal/vfs\"\n",
				"internal/lane/testdata/a.go":     "package stray\n",
				"conformance/node_modules/x/a.go": "package stray\n",
				".cache/a.go":                     "package stray\n",
				"tools/go.mod":                    "module example.org/weir/tools\n",
				"tools/a.go":                      "package stray\n",
				"internal/lane/a_plan9.go":        "//go:build never\n\npackage lane\n\nimport _ \"example.org/weir/internal/vfs\"\n",
			},
			want: []string{"internal/lane/a_plan9.go:5"},
		},
		{
			rule: "two halves", says: "either way, also from and to a room below",
			tree: module{
				"internal/engineio/a.go":        "package engineio\n\nimport _ \"example.org/weir/internal/lane\"\n",
				"internal/delivery/a.go":        "package delivery\n\nimport _ \"example.org/weir/internal/wire/sio\"\nimport _ \"example.org/weir/internal/transport\"\n",
				"internal/transport/epoll/a.go": "package epoll\n\nimport _ \"example.org/weir/internal/journal\"\n",
				"a.go":                          "package weir\n\nimport _ \"example.org/weir/internal/lane\"\nimport _ \"example.org/weir/internal/transport\"\n",
			},
			want: []string{"internal/delivery/a.go:4", "internal/engineio/a.go:3", "internal/transport/epoll/a.go:3"},
		},
		{
			rule: "file size", says: "600 lines are the end, in tests too",
			tree: module{"a.go": lines(600), "b.go": lines(601), "c_test.go": lines(700)},
			want: []string{"b.go:601", "c_test.go:601"},
		},
		{
			rule: "comment width", says: "132 columns are the end of a comment's line, with its tabs; pictures, directives and what stands behind code may be wider",
			tree: module{"a.go": "package a\n\n// " + strings.Repeat("a", 129) + "\n// " + strings.Repeat("b", 130) + "\n//\n//    " + strings.Repeat("─", 200) +
				"\nfunc f() {\n\t// " + strings.Repeat("c", 126) + "\n\t_ = 1 // " + strings.Repeat("d", 140) + "\n}\n"},
			want: []string{"a.go:4", "a.go:8"},
		},
		{
			rule: "goroutines", says: "an anonymous function, by go or by a group's Go",
			tree: module{"internal/x/a.go": `package x
func f(wg *sync.WaitGroup, g *errgroup.Group) {
	go func() {}()
	go (func() {})()
	go run(1)
	wg.Go(func() { work(); work() })
	wg.Go(run)
	wg.Go(func() { run(1) })
	g.Go(func() error { return run(1) })
	g.Go(func() error { return func() error { return nil }() })
}
`, "a_test.go": "package weir\nfunc f() { go func() {}() }\n", "bench/x/a.go": "package main\nfunc f() { go func() {}() }\n"},
			want: []string{"internal/x/a.go:3", "internal/x/a.go:4", "internal/x/a.go:6", "internal/x/a.go:10"},
		},
		{
			rule: "counts by offsets", says: "where topics are dealt with one offset is subtracted from another",
			tree: module{
				"internal/delivery/place/place.go": "package place\n\nvar _ = live - next\n\nvar _ = min(b.First-1, p.since) - p.At\n",
				"internal/delivery/a.go":           "package delivery\n\nvar _ = m.Offset - 1\n\nvar _ = now - since\n\nfunc f() { x.Offset -= y.Previous }\n",
				"internal/topiclog/log.go":         "package topiclog\n\nvar _ = upto - after\n",
				"internal/lane/lane.go":            "package lane\n\nvar _ = last - first\n",
			},
			want: []string{"internal/delivery/a.go:7", "internal/delivery/place/place.go:3", "internal/delivery/place/place.go:5"},
		},
		{
			rule: "raw system calls", says: "outside the listed files, unless only signals are named",
			tree: module{
				"internal/transport/epoll_linux.go": "package transport\n\nimport \"golang.org/x/sys/unix\"\n\nvar _ = unix.EpollWait\n",
				"internal/transport/conn.go":        "package transport\n\nimport \"golang.org/x/sys/unix\"\n\nvar _ = unix.EpollWait\n",
				"internal/journal/a_linux.go":       "package journal\n\nimport \"syscall\"\n\nvar _ = syscall.Fsync\n",
				"cmd/weir/main.go":                  "package main\n\nimport \"syscall\"\n\nvar _ = syscall.SIGTERM\n",
				"cmd/weir/limits.go":                "package main\n\nimport sys \"syscall\"\n\nvar _, _ = sys.SIGTERM, sys.SetsockoptInt\n",
			},
			want: []string{"cmd/weir/limits.go:3", "internal/journal/a_linux.go:3", "internal/transport/conn.go:3"},
		},
		{
			rule: "engine.io bytes", says: "by literal or by conversion, in the server's rooms but the codecs",
			tree: module{
				"internal/engineio/a.go": `package engineio

import engine "example.org/weir/internal/wire/eio"

func f(dst []byte, t engine.PacketType, code byte) []byte {
	dst = append(dst, byte(engine.Ping))
	dst = append(dst, byte(t))
	dst = append(dst, '4')
	dst = append(dst, "3probe"...)
	send([]byte{'6'})
	send([]byte("42[1]"))
	send([]byte("7"), []byte("4 of"), []byte{'7'}, engine.Noop.Text())
	return append(dst, byte(code), byte(engine.SIDLen), 'x')
}
`,
				"internal/wire/eio/a.go": "package eio\n\nvar b = append([]byte{'4'}, \"3probe\"...)\n",
				"internal/packet/a.go":   "package packet\n\nimport \"example.org/weir/internal/wire/eio\"\n\nvar b = []byte{byte(eio.Message), '4'}\n",
				"internal/peer/a.go":     "package peer\n\nvar b = []byte(\"2probe\")\n",
				"a_test.go":              "package weir\n\nvar b = []byte(\"40\")\n",
				"a.go":                   "package weir\n\nvar b = []byte(\"40{}\")\n",
			},
			want: []string{
				"a.go:3", "internal/engineio/a.go:6", "internal/engineio/a.go:7", "internal/engineio/a.go:8", "internal/engineio/a.go:9",
				"internal/engineio/a.go:10", "internal/engineio/a.go:11",
			},
		},
		{
			rule: "printing", says: "fmt, log and the builtins, under any name, called or passed on",
			tree: module{
				"internal/x/a.go": `package x

import (
	f "fmt"
	"log"
)

func g(w io.Writer, log2 Log) {
	f.Println("a")
	h := log.Printf
	log.Fatal("b")
	println("c")
	f.Fprintln(w, f.Sprint("d"))
	log2.Printf("e")
	log := log2
	log.Printf("f")
}
`,
				"a_test.go":        "package weir\n\nimport \"fmt\"\n\nfunc ExampleNew() { fmt.Println() }\nfunc TestNew() { fmt.Println() }\n",
				"cmd/weir/main.go": "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }\n",
			},
			want: []string{"a_test.go:6", "internal/x/a.go:9", "internal/x/a.go:10", "internal/x/a.go:11", "internal/x/a.go:12"},
		},
		{
			rule: "context.TODO", says: "everywhere",
			tree: module{
				"a.go":      "package weir\n\nimport \"context\"\n\nvar a, b = context.TODO(), context.Background()\n",
				"a_test.go": "package weir\n\nimport \"context\"\n\nvar c = context.TODO()\n",
			},
			want: []string{"a.go:5", "a_test.go:5"},
		},
		{
			rule: "test access", says: "outside of tests and the file that fills it in",
			tree: module{
				"inside.go":   "package weir\n\nimport \"example.org/weir/internal/attach\"\n\nfunc init() { attach.Tests = attach.Inside{} }\n",
				"a.go":        "package weir\n\nimport \"example.org/weir/internal/attach\"\n\nvar a, b = attach.Tests, attach.To\n",
				"x/a_test.go": "package x\n\nimport \"example.org/weir/internal/attach\"\n\nvar a = attach.Tests\n",
				"x/inside.go": "package x\n\nimport \"example.org/weir/internal/attach\"\n\nvar b attach.Inside\n",
			},
			want: []string{"a.go:5", "x/inside.go:5"},
		},
		{
			rule: "sleeping tests", says: "outside a synctest file",
			tree: module{
				"a_test.go": "package weir\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n",
				"b_test.go": "package weir\n\nimport \"time\"\nimport \"testing/synctest\"\n\nfunc f() { time.Sleep(1) }\n",
				"c.go":      "package weir\n\nimport \"time\"\n\nfunc f() { time.Sleep(1) }\n",
			},
			want: []string{"a_test.go:5"},
		},
		{
			rule: "silent skips", says: "no reason, or a blank one",
			tree: module{"a_test.go": `package weir

import "testing"

func TestA(t *testing.T) {
	t.SkipNow()
	t.Skip()
	t.Skip(" ")
	t.Skipf("no %s here", "epoll")
	t.Run("", func(tb *testing.T) { tb.Skip() })
	words.Skip()
}

func helper(tb testing.TB, g *generator) {
	tb.Skip(because)
	tb.Skip()
	g.Skip()
}
`},
			want: []string{"a_test.go:6", "a_test.go:7", "a_test.go:8", "a_test.go:10", "a_test.go:16"},
		},
		{
			rule: "fuzz corpus", says: "a target whose inputs are in f.Add alone",
			tree: module{
				"p/a_test.go":                   "package p\n\nfunc FuzzKept(f *testing.F) {}\nfunc FuzzBare(f *testing.F) {}\nfunc (x) FuzzMethod() {}\nfunc TestA(t *testing.T) {}\n",
				"p/testdata/fuzz/FuzzKept/seed": "go test fuzz v1\n", "q/a_test.go": "package q\nfunc FuzzKept(f *testing.F) {}\n",
				"q/a.go": "package q\nfunc FuzzNoTest() {}\n",
			},
			want: []string{"p/a_test.go:4", "q/a_test.go:2"},
		},
		{
			rule: "citations", says: "a page, section, record or plan that is not in docs/",
			tree: module{
				"docs/protocol.md":         "# On the wire\n\n## 2.1 Packets\n\n# 4 Delivery\n\n| J1, J2 | spill |\n",
				"docs/architecture.md":     "<a name=\"d3\"></a>**D3 One shard**\n",
				"docs/adr/0004-penalty.md": "# 0004\n",
				"a.go": `package weir

// Right: protocol.md 2.1, protocol.md 4, protocol.md J2, architecture.md D3, ADR 0004, docs/adr/0004-penalty.md.
var a int

// Wrong: protocol.md 2.
var b int

// Wrong: protocols.md.
var c int

/* Wrong:
protocol.md J3, */
var d int // and architecture.md D33

func f() {
	// Wrong: ADR 0005, and of a plan (design D3).
}
`,
			},
			want: []string{"a.go:6", "a.go:9", "a.go:13", "a.go:14", "a.go:17", "a.go:17"},
		},
		{
			rule: "records", says: "two decisions of one number",
			tree: module{"docs/adr/0001-a.md": "", "docs/adr/0002-b.md": "", "docs/adr/0002-c.md": "", "docs/0002-d.md": "", "a.go": "package weir\n"},
			want: []string{"a.go:1"},
		},
		{
			rule: "map", says: "a room that a page does not show",
			tree: module{
				"docs/architecture.md":    "- **`internal/lane`** and `internal/wire/ws`\n",
				"CONTRIBUTING.md":         "| `internal/lane`, `internal/wheel/` | `internal/wire/ws` | `internal/gone` | `internal/lane/a.go` |\n",
				"cluster/a.go":            "package cluster\n",
				"internal/lane/a.go":      "package lane\n",
				"internal/lane/b.go":      "package lane\n",
				"internal/wheel/a.go":     "package wheel\n",
				"internal/wire/ws/a.go":   "package ws\n",
				"internal/x/only_test.go": "package x\n",
				"cmd/weir/a.go":           "package main\n",
			},
			want: []string{"internal/wheel/a.go:1", "cluster/a.go:1"},
		},
		{
			rule: "ways", says: "a way to a file or a name that is not there, or of more than six opens",
			tree: module{
				"docs/architecture.md": "`gone.go`\n## Where is …?\n" +
					"| … it? | `a.go` (`Take`, `lane`, `most`) names it → `internal/lane/b.go` (`Gone`, `put`) → `internal/lane/gone.go` |\n" +
					"| … that? | `a.go` → `a.go` → `a.go` → `a.go` → `a.go` |\n" +
					"| … more? | `a.go` → `a.go` → `a.go` → `a.go` → `a.go` → `a.go` |\n" +
					"## Words\n`gone.go`\n",
				"a.go":               "package p\n\ntype lane struct{}\n\nconst most = 1\n\nfunc (lane) Take() {}\n",
				"internal/lane/b.go": "package lane\n\nvar put, taken int\n",
			},
			want: []string{"internal/lane/b.go:1", "a.go:1", "a.go:1"},
		},
		{
			rule: "verbs", says: "a verb of the page outside of its rooms, in a function, a method or a field, one that says nothing, a row for a room where it is not",
			tree: module{
				"docs/words.md": "# Words\n| word | means | not | in functions and fields of |\n|---|---|---|---|\n| **hold**, **held** | to count | to pause | `lane`, `kept` |\n\n" +
					"| word | means | not | in types of |\n|---|---|---|---|\n| **entry** | a message | | `guard` |\n\n| not | because |\n|---|---|\n| **few** | say what |\n",
				"a.go":                     "package weir\n\ntype hold struct{}\n\nfunc Entry() { hold := 1; _ = hold }\n",
				"internal/lane/a.go":       "package lane\n\nfunc Held() {}\n",
				"internal/guard/a.go":      "package guard\n\ntype entry struct {\n\theldBytes, n int\n\tin struct{ few int }\n}\n\nfunc (entry) HoldOn() {}\n",
				"internal/guard/a_test.go": "package guard\n\nfunc hold() {}\n",
			},
			want: []string{"internal/guard/a.go:4", "internal/guard/a.go:5", "internal/guard/a.go:8", "a.go:1"},
		},
		{
			rule: "words", says: "a word of the page outside of its rooms, one that says nothing, a row for a room where it is not",
			tree: module{
				"docs/words.md": "# Words\n| word | means | not | in types of |\n|---|---|---|---|\n| **entry**, **copy** | a message | a row | `lane`, `kept`, `root` |\n" +
					"| **page** | paper | | |\n| **socket** | a client | | `root` |\n\n| not | because |\n|---|---|\n| **manager**, **few** | say what |\n\n" +
					"| other | table |\n|---|---|\n| **box** | `lane` |\n",
				"a.go":                     "package weir\n\ntype SocketCopies struct{}\n\ntype box int\n\ntype fewer int\n",
				"internal/lane/a.go":       "package lane\n\ntype entries []int\n\nvar socket int\n",
				"internal/guard/a.go":      "package guard\n\ntype (\n\tRefusalEntry int\n\tpageTCPEntry int\n\tcentry int\n\tWebSocket int\n)\n\ntype Manager = int\n",
				"internal/guard/a_test.go": "package guard\n\ntype entry int\n",
				"internal/config/a.go":     "package config\n\ntype entry int\n",
				"bench/x/a.go":             "package main\n\ntype entry int\n",
			},
			want: []string{"internal/guard/a.go:4", "internal/guard/a.go:5", "internal/guard/a.go:10", "a.go:1"},
		},
	} {
		t.Run(c.rule+", "+c.says, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.tree.check(t, c.rule)); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFindingSaysWhereWhatAndHow(t *testing.T) {
	f := lint.Finding{File: "a/b.go", Line: 7, Rule: "printing", Fault: "fmt.Println", Remedy: "use t.Log"}
	if got, want := f.String(), "a/b.go:7: printing: fmt.Println: use t.Log"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEveryRuleHasANameAndARemedy(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range lint.Rules() {
		if r.Name == "" || r.Remedy == "" || seen[r.Name] {
			t.Errorf("rule %q: name and remedy are required, names are unique", r.Name)
		}
		seen[r.Name] = true
	}
}

func TestLoadNamesTheFileItCannotParse(t *testing.T) {
	_, err := lint.Load(fstest.MapFS{
		"go.mod": {Data: []byte("module example.org/weir\n")},
		"a.go":   {Data: []byte("pakage weir\n")},
	})
	if err == nil || !strings.Contains(err.Error(), "a.go:1") {
		t.Errorf("got %v, want an error that names a.go:1", err)
	}
}

func TestLoadWantsAModule(t *testing.T) {
	if _, err := lint.Load(fstest.MapFS{}); err == nil {
		t.Error("a tree without go.mod was loaded")
	}
	if _, err := lint.Load(fstest.MapFS{"go.mod": {Data: []byte("go 1.26\n")}}); err == nil {
		t.Error("a go.mod without a module line was accepted")
	}
}
