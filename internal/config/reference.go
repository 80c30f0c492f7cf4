package config

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
)

// maxSecret bounds a file named by ${file:…} in bytes.
const maxSecret = 64 << 10

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// references resolves ${NAME} and ${file:/path}. They stand in values of the file, not in keys, and not in what the
// environment or flags say. "$$" is a dollar sign; a "$" before anything else is one too.
type references struct {
	environ map[string]string
	dir     string          // of the configuration, where relative paths begin
	used    map[string]bool // variables the file refers to
	files   []string        // and files
}

// expand resolves all references of a value. found says whether there was one. Its errors never show what a
// reference stands for.
func (r *references) expand(text string) (value string, found bool, err error) {
	var b strings.Builder
	for {
		before, rest, dollar := strings.Cut(text, "$")
		b.WriteString(before)
		switch {
		case !dollar:
			return b.String(), found, nil
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			text = rest[1:]
		case strings.HasPrefix(rest, "{"):
			name, after, closed := strings.Cut(rest[1:], "}")
			if !closed {
				return "", true, fmt.Errorf(`"${" without "}": want ${NAME} or ${file:/path}, or $$ for a dollar sign`)
			}
			one, err := r.resolve(name)
			if err != nil {
				return "", true, err
			}
			b.WriteString(one)
			found, text = true, after
		default:
			b.WriteByte('$')
			text = rest
		}
	}
}

func (r *references) resolve(name string) (string, error) {
	if path, ok := strings.CutPrefix(name, "file:"); ok {
		return r.file(path)
	}
	if !variableName.MatchString(name) {
		return "", fmt.Errorf("${%s} is not a reference: want ${NAME} or ${file:/path}, or $$ for a dollar sign", name)
	}
	r.used[name] = true
	value, ok := r.environ[name]
	if !ok {
		return "", fmt.Errorf("the environment variable %s is not set", name)
	}
	return value, nil
}

// file reads a secret: a regular file, without the newlines at its end.
func (r *references) file(path string) (string, error) {
	if path == "" {
		return "", fmt.Errorf("${file:} names no file: want ${file:/path}")
	}
	full := path
	if !filepath.IsAbs(path) {
		full = filepath.Join(r.dir, path)
	}
	r.files = append(r.files, full)
	b, err := readFile(full, maxSecret)
	if err != nil {
		return "", fmt.Errorf("${file:%s}: %w", path, err)
	}
	return strings.TrimRight(string(b), "\r\n"), nil
}

// escape is the inverse of expand for a value without references.
func escape(text string) string {
	if !strings.Contains(text, "$$") && !strings.Contains(text, "${") {
		return text
	}
	return strings.ReplaceAll(text, "$", "$$")
}
