package config

// LiveForTest says of every key of a file whether a server that runs can change it.
func LiveForTest() map[string]bool {
	all := map[string]bool{}
	var walk func(*key)
	walk = func(k *key) {
		if k.absent() || k.only != "" {
			return
		}
		if len(k.keys) == 0 && k.item == nil && k.parent != nil {
			all[k.path()] = k.live
		}
		for _, c := range k.keys {
			walk(c)
		}
		if k.item != nil {
			walk(k.item)
		}
	}
	walk(table())
	return all
}
