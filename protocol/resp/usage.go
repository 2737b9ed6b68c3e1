package resp

import "strings"

// An argument is one part of a command's usage.
type argument struct {
	name               string
	optional, multiple bool
}

func (a argument) flags() (flags []string) {
	if a.optional {
		flags = append(flags, "optional")
	}
	if a.multiple {
		flags = append(flags, "multiple")
	}
	return flags
}

// arguments takes a usage apart: "key [key ...]" is one argument that may be repeated, "[message]" one that may be
// left out. What is nested deeper stays one argument.
func arguments(usage string) (list []argument) {
	for _, part := range parts(usage) {
		inner, optional := strings.CutPrefix(part, "[")
		if !optional || !strings.HasSuffix(inner, "]") {
			list = append(list, argument{name: part})
			continue
		}
		inner = strings.TrimSuffix(inner, "]")
		if last := len(list) - 1; last >= 0 && inner == list[last].name+" ..." {
			list[last].multiple = true
			continue
		}
		one := argument{name: inner, optional: true}
		if within := arguments(inner); len(within) == 1 {
			one = within[0]
			one.optional = true
		}
		list = append(list, one)
	}
	return list
}

// parts splits at the spaces that are not within brackets.
func parts(usage string) (list []string) {
	depth, from := 0, 0
	for i, r := range usage {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case r == ' ' && depth == 0:
			list = append(list, usage[from:i])
			from = i + 1
		}
	}
	if from < len(usage) {
		list = append(list, usage[from:])
	}
	return list
}
