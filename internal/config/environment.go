package config

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// EnvName is an environment variable that overrides one key.
type EnvName struct {
	Name    string // "WEIR_SERVERS_<NAME>_PORT"; <NAME> is the name's own in capitals, "_" for what is not a letter or digit
	Path    string // "servers.NAME.port"
	Type    string // what its value may be, in words
	Default string // as in the file, with "weir: 1"
	Doc     string
}

// envPrefix begins every variable that overrides a key. One that begins so and overrides none is a problem.
const envPrefix = "WEIR_"

// foreign are variables with the prefix that are not ours to refuse: those of Weir's own tests.
var foreign = []string{"WEIR_FIXTURE", "WEIR_BINARY", "WEIR_CONFORMANCE_TARGET"}

// service are the variables Kubernetes and Docker set for a service named weir or weir-….
var service = regexp.MustCompile(`^WEIR_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)$`)

// EnvNames lists the variables that override a key, in the order of the file. Keys within lists have none. A list of
// words is given with commas in between.
func EnvNames() []EnvName {
	var names []EnvName
	table().eachSetting(nil, nil, func(k *key, steps []string) {
		if k.absent() || k.only != "" {
			return
		}
		path, doc := k.path(), k.doc
		if k.short != nil {
			k = k.short
		}
		kindOf := k.want(weirMode)
		if k.kind == listKind {
			kindOf = "a list, commas in between"
			if len(k.item.enum) > 0 {
				kindOf += ": " + strings.Join(k.item.enum, ", ")
			}
		}
		name := strings.ReplaceAll(envName(steps), "__NAME__", "_<NAME>_")
		names = append(names, EnvName{Name: name, Path: path, Type: kindOf, Default: k.def[weirMode], Doc: doc})
	})
	return names
}

// eachSetting calls f with every key that holds a value of its own and can be named from outside: scalars and lists
// of scalars. With n, only names that the file has stand for tables; without, a placeholder does.
func (k *key) eachSetting(n *node, steps []string, f func(k *key, steps []string)) {
	switch {
	case k.kind == listKind && !k.item.kind.scalar(), k.kind == tableKind && n == nil && k.item.kind.scalar():
	case k.kind == tableKind && n == nil:
		k.item.eachSetting(nil, append(steps, "_NAME_"), f)
	case k.kind == tableKind:
		for _, e := range n.entries {
			k.item.eachSetting(e.value, append(slices.Clone(steps), e.name), f)
		}
	case k.kind == mappingKind:
		if k.short != nil && len(steps) > 0 {
			f(k, steps)
		}
		for _, c := range k.keys {
			var below *node
			if n != nil {
				if below = n.get(c.name); below == nil {
					below = &node{}
				}
			}
			c.eachSetting(below, append(slices.Clone(steps), c.name), f)
		}
	default:
		f(k, steps)
	}
}

// envName joins steps in capitals, cut before each capital letter that begins a word: allowEIO3 is ALLOW_EIO3.
func envName(steps []string) string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(envPrefix, "_"))
	for _, step := range steps {
		b.WriteByte('_')
		letters := []rune(step)
		for i, r := range letters {
			if i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(letters[i-1]) && letters[i-1] != '_' || i+1 < len(letters) && unicode.IsLower(letters[i+1])) {
				b.WriteByte('_')
			}
			if !unicode.IsLetter(r) && !unicode.IsDigit(r) {
				r = '_'
			}
			b.WriteRune(unicode.ToUpper(r))
		}
	}
	return b.String()
}

// setting is a key that can be overridden in this file.
type setting struct {
	key   *key
	steps []string
}

// override puts what the environment and then flags say into the tree. Values are taken as they are, without
// references.
func (r *reader) override(root *node, flags map[string]string) {
	byName, byPath := map[string][]setting{}, map[string]setting{}
	table().eachSetting(root, nil, func(k *key, steps []string) {
		s := setting{k, slices.Clone(steps)}
		byName[envName(steps)] = append(byName[envName(steps)], s)
		byPath[joinPath(steps)] = s
	})
	for _, name := range slices.Sorted(maps.Keys(r.environ)) {
		if found := byName[name]; len(found) > 0 && !portOfService(name, r.environ[name]) {
			r.overrideByName(root, name, found)
		}
	}
	for _, path := range slices.Sorted(maps.Keys(flags)) {
		at := place{file: "flag", from: fromFlag}
		if s, ok := byPath[path]; ok {
			root.put(s.steps, s.key.outside(flags[path], at))
			continue
		}
		r.problem(path, at, "no such key%s", didYouMean(path, slices.Collect(maps.Keys(byPath))))
	}
	r.known = slices.Sorted(maps.Keys(byName))
}

func (r *reader) overrideByName(root *node, name string, found []setting) {
	at := place{file: "environment variable " + name, from: fromEnvironment}
	if len(found) > 1 {
		r.problem("", at, "stands for %s and %s alike: rename one of them", joinPath(found[0].steps), joinPath(found[1].steps))
		return
	}
	root.put(found[0].steps, found[0].key.outside(r.environ[name], at))
}

// outside makes a node of a text that came from outside of the file.
func (k *key) outside(text string, at place) *node {
	if k.kind != listKind {
		return &node{kind: textNode, text: text, loose: true, at: at}
	}
	list := &node{kind: listNode, at: at}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list.items = append(list.items, &node{kind: textNode, text: item, loose: true, at: at})
		}
	}
	return list
}

// portOfService recognises WEIR_MANAGEMENT_PORT=tcp://10.0.0.1:9393, which Kubernetes sets for a service named
// weir-management.
func portOfService(name, value string) bool {
	return strings.HasSuffix(name, "_PORT") && strings.Contains(value, "://")
}

// strangers refuses variables with our prefix that override nothing and that the file does not refer to.
func (r *reader) strangers() {
	for _, name := range slices.Sorted(maps.Keys(r.environ)) {
		ours := strings.HasPrefix(name, envPrefix) && !r.references.used[name] && !slices.Contains(foreign, name)
		if !ours || service.MatchString(name) || portOfService(name, r.environ[name]) {
			continue
		}
		if _, known := slices.BinarySearch(r.known, name); !known {
			at := place{file: "environment variable " + name, from: fromEnvironment}
			r.problem("", at, "overrides no key of this file%s; `weir config env` lists the names", didYouMean(name, r.known))
		}
	}
}

// environment reads "NAME=value" lines; of several with one name the last counts, as for a process.
func environment(lines []string) map[string]string {
	environ := make(map[string]string, len(lines))
	for _, line := range lines {
		if name, value, ok := strings.Cut(line, "="); ok {
			environ[name] = value
		}
	}
	return environ
}

// joinPath writes steps as a path: names that are not plain words in brackets and quotes.
func joinPath(steps []string) string {
	path := ""
	for _, s := range steps {
		path = below(path, s)
	}
	return path
}

// below is the path of a name in the mapping at path.
func below(path, name string) string {
	switch {
	case !plainName(name):
		return fmt.Sprintf("%s[%q]", path, name)
	case path == "":
		return name
	}
	return path + "." + name
}

func plainName(name string) bool {
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' && r != '/' {
			return false
		}
	}
	return name != ""
}
