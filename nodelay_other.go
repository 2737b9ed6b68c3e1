//go:build !linux

package spate

import "syscall"

// noDelay does nothing: Go's net package sets the option when it accepts.
func noDelay(string, string, syscall.RawConn) error { return nil }
