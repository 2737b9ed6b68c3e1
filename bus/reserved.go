package bus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/spate-io/spate/consumer"
)

// ErrReserved means that a subject is the server's own.
var ErrReserved = errors.New("the subject is reserved: only the server publishes on it")

// The first levels of subjects that are the server's own, in whole or in part.
const (
	// sessionStream is where MQTT keeps what its sessions wait for.
	sessionStream = "$mqtt"
	// DeviceRoot is the first level of what is said to devices, by them and about them, see package device.
	DeviceRoot = "$devices"
	// InboxRoot is the first level of what the server says to itself.
	InboxRoot = "$inbox"
	// FiguresRoot is the first level of the figures that MQTT brokers publish about themselves.
	FiguresRoot = "$SYS"
	// OwnRoot is the first level of the rest of what the server says of itself, as what sessions have lost.
	OwnRoot = "$spate"
)

// Reserved tells whether a subject is one on which only the server publishes: dead letters, and what it says of devices and of itself.
func Reserved(subject string) bool {
	if subject == "" || subject[0] != '$' {
		return false
	}
	first, rest, _ := strings.Cut(subject, "/")
	switch first {
	case consumer.DeadStream, consumer.RedriveStream, sessionStream, InboxRoot, FiguresRoot, OwnRoot:
		return true
	case DeviceRoot:
		_, tail, _ := strings.Cut(rest, "/")
		return !forDevices(tail)
	}
	return false
}

func reserved(subject string) error {
	return fmt.Errorf("publishing on %.80q: %w", subject, ErrReserved)
}

// forDevices tells whether devices and applications publish on a subject, by what comes after "$devices/{id}/".
func forDevices(tail string) bool {
	switch tail {
	case "state/reported", "state/desired", "state/update", "state/get":
		return true
	}
	command, ok := strings.CutPrefix(tail, "commands/")
	if !ok {
		return false
	}
	_, what, _ := strings.Cut(command, "/")
	return what == "response" || what == "error"
}
