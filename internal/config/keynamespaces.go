package config

import (
	"slices"
	"strconv"
)

// keyNamespaces refuses keys of the management API for namespaces that no server of the file has: a misspelt one would
// be for nothing.
func (r *reader) keyNamespaces(d *document) {
	var known []string
	for _, s := range d.Servers {
		for i := range s.Namespaces {
			known = append(known, s.Namespaces[i].Path)
		}
	}
	slices.Sort(known)
	for i := range d.Management.Keys {
		k := &d.Management.Keys[i]
		path := "management.keys[" + strconv.Itoa(i) + "].namespaces"
		if r.isSet(path) && len(k.Namespaces) == 0 {
			r.wrong(path, "is empty: want at least one, or leave it out: then the key is for all")
		}
		for j, n := range k.Namespaces {
			if !slices.Contains(known, n) {
				r.wrong(path+"["+strconv.Itoa(j)+"]", "%q is none of the namespaces of this file%s", n, didYouMean(n, known))
			}
		}
	}
}
