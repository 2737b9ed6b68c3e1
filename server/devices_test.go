package server

import (
	"strings"
	"testing"
)

// What is wrong with the devices of a configuration is said with its key and its place.
func TestDevicesOfConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"devices: {unknown: maybe}":                `devices.unknown: "maybe" is not one of register, ignore and refuse`,
		"devices: {absence: [{after: 10ms}]}":      "devices.absence[0].after: 10ms is less than 1s, the least",
		"devices: {limits: {state: 1MiB}}":         "devices.limits.state: 1048576 is more than 131072, the most",
		"devices: {ids: [a, '']}":                  "devices.ids[1]: must have 1 to 128 bytes",
		"devices: {absence: [{after: 1s, id: x}]}": "id",
	} {
		path := file(t, text+"\n")
		_, err := Load(Sources{File: path})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), ":1: ") {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
