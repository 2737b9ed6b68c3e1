// Package crash kills servers and cuts their power, and checks what is left: that nothing acknowledged is lost, that what a committing
// handler has made of it is there exactly once, and that the order of each key has held; and that MQTT clients, whose own sessions outlive the server,
// get every message that was acknowledged, those of QoS 2 once. It has only tests, apart from the rest
// because each needs a process, or a file system, of its own.
package crash
