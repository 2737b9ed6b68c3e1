package e2e

import (
	"syscall"
	"testing"
)

const interrupt = syscall.SIGINT

// mqttNode starts a node with an MQTT listener and the HTTP listener that carries /mqtt.
func mqttNode(t *testing.T, args ...string) *node {
	t.Helper()
	return serve(t, append([]string{"--listen", "mqtt://127.0.0.1:0", "--listen", "http://127.0.0.1:0"}, args...)...)
}

// mqttAddresses are the ways to a node.
func mqttAddresses(n *node) []string {
	return []string{"mqtt://" + n.urls["mqtt"], "ws://" + n.urls["http"] + "/mqtt"}
}
