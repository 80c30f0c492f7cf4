package lint_test

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
)

const modulePath = "github.com/streamweir/weir"

// listed is a package of the module.
type listed struct {
	path, name, dir string
	files           []string // without tests
}

// room is the package's directory, from the module's root.
func (p listed) room() string {
	if p.path == modulePath {
		return "."
	}
	return strings.TrimPrefix(p.path, modulePath+"/")
}

// moduleList is all packages of the module, and what the compiler has made of them and of those they import.
type moduleList struct {
	ours   []listed
	export map[string]string // files, by import path
}

// listModule has the module built, as far as it is not, and lists it.
func listModule(t *testing.T) moduleList {
	t.Helper()
	list := exec.Command("go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Name}}\t{{.Export}}\t{{.Dir}}\t{{join .GoFiles \" \"}}", "./...")
	list.Dir = "../.."
	var complaints bytes.Buffer
	list.Stderr = &complaints
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, complaints.Bytes())
	}
	m := moduleList{export: map[string]string{}}
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		m.export[f[0]] = f[2]
		if ours(f[0]) {
			m.ours = append(m.ours, listed{path: f[0], name: f[1], dir: f[3], files: strings.Fields(f[4])})
		}
	}
	return m
}

// open opens what the compiler has made of a package.
func (m moduleList) open(path string) (io.ReadCloser, error) { return os.Open(m.export[path]) }
