package config

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Schema returns the JSON Schema (draft 2020-12) of the file, for editors. It has Weir's defaults; where a file
// without "weir: 1" differs the description says so. Keys of features that this version does not have allow their
// default only.
func Schema() []byte {
	root := table().schema()
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "Weir configuration"
	root["$defs"] = map[string]any{
		"reference": map[string]any{
			"description": "a value from the environment, ${NAME}, or from a file, ${file:/run/secrets/x}",
			"type":        "string",
			"pattern":     `\$\{[^}]+\}`,
		},
	}
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic("config: schema: " + err.Error()) // it is made of maps, lists and words
	}
	return append(out, '\n')
}

type object = map[string]any

func (k *key) schema() object {
	var s object
	switch k.kind {
	case mappingKind:
		s = k.schemaOfMapping()
	case tableKind:
		s = object{"type": orNull("object"), "additionalProperties": k.item.schema()}
	case listKind:
		s = object{"type": orNull("array"), "items": k.item.schema()}
	default:
		s = k.schemaOfScalar()
	}
	if k.required && (k.kind == listKind || k.kind == tableKind) {
		delete(s, "type")
		s["type"] = map[kind]string{listKind: "array", tableKind: "object"}[k.kind]
		s[map[kind]string{listKind: "minItems", tableKind: "minProperties"}[k.kind]] = 1
	}
	if text := k.describe(); text != "" {
		s["description"] = text
	}
	if def, ok := k.defaultValue(); ok {
		s["default"] = def
	}
	return s
}

// orNull allows "tls:" with nothing below it.
func orNull(name string) []string { return []string{name, "null"} }

func (k *key) schemaOfMapping() object {
	properties, required := object{}, []string{}
	for _, c := range k.keys {
		properties[c.name] = c.schema()
		if c.required {
			required = append(required, c.name)
		}
	}
	s := object{"type": orNull("object"), "additionalProperties": false, "properties": properties}
	if k.parent != nil && k.parent.kind != mappingKind || k.parent == nil {
		s["type"] = "object"
	}
	if len(required) > 0 {
		s["required"] = required
	}
	if k.short != nil {
		return object{"anyOf": []object{s, k.short.schema()}}
	}
	return s
}

func (k *key) schemaOfScalar() object {
	var s object
	switch {
	case k.absent() && !k.required && k.parent.kind == mappingKind && k.parent.idleBut == "":
		def, _ := k.defaultValue()
		return object{"const": def}
	case k.kind == enumKind:
		s = object{"enum": k.choices()}
	case k.kind == booleanKind:
		s = object{"type": "boolean"}
	case k.kind == textKind:
		s = object{"type": "string"}
		if k.required {
			s["minLength"] = 1
		}
		return s // a reference is text anyway
	default:
		s = object{"type": "integer", "minimum": min(k.min[weirMode], k.min[streamFenceMode]), "maximum": k.max}
		if k.kind == numberKind {
			s["type"] = "number"
		}
	}
	return object{"anyOf": []object{s, {"$ref": "#/$defs/reference"}}}
}

// describe joins what the table says of a key to sentences.
func (k *key) describe() string {
	var parts []string
	if k.doc != "" {
		parts = append(parts, k.doc)
	}
	switch k.kind {
	case durationKind:
		if !strings.Contains(k.doc, "milliseconds") {
			parts = append(parts, "in milliseconds")
		}
	case integerKind:
		if strings.HasSuffix(k.name, "Bytes") && !strings.Contains(k.doc, "bytes") {
			parts = append(parts, "in bytes")
		}
	default: // has no unit
	}
	if k.def[streamFenceMode] != k.def[weirMode] {
		parts = append(parts, fmt.Sprintf("without \"weir: 1\" the default is %s", k.def[streamFenceMode]))
	}
	if k.only != "" {
		parts = append(parts, `only without "weir: 1": `+k.only)
	}
	if k.later != "" && k.laterValue == "" {
		parts = append(parts, fmt.Sprintf("needs %s, which this version of Weir does not have", k.later))
	}
	return strings.Join(parts, "; ")
}

// defaultValue is the default with "weir: 1", as JSON. Required keys have none.
func (k *key) defaultValue() (any, bool) {
	text := k.def[weirMode]
	if k.required || k.parent == nil {
		return nil, false
	}
	switch k.kind {
	case mappingKind:
		if k.short != nil && k.short.name == "" {
			return k.short.defaultValue()
		}
		return nil, false
	case tableKind:
		return object{}, true
	case listKind:
		return append([]string{}, k.defaultWords()...), true
	case booleanKind:
		return text == "true", text != ""
	case integerKind, durationKind, numberKind:
		f, err := strconv.ParseFloat(text, 64)
		return f, err == nil
	default: // the other scalars are text
		return text, k.parent.kind == mappingKind
	}
}
