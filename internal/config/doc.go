// Package config reads Weir's configuration: a YAML or JSON file, the environment and flags become [weir.Options]
// (configuration.md).
//
// Every problem is reported at once, each with file, line, column and path. Nothing is ignored: an unknown key, a
// value of the wrong type and a key whose feature this version does not have are problems (P11). Values that a file
// takes from ${VAR} or ${file:/path}, and the values of secret keys, appear in no error and in no listing.
//
// One table, the struct document in keys.go, holds every key with its type, default, limits and text. Parsing, the
// names of environment variables, the JSON Schema, the starter file and the effective configuration all read it: to
// add a key, add a field there and map it in options.go.
//
//	bytes -> node tree (yaml.go, json.go) <- overrides (env.go)
//	      -> document (decode.go, scalar.go, reference.go)
//	      -> weir.Options and warnings (options.go, topic.go, warning.go)
package config
