package spate

import "syscall"

// noDelay switches off Nagle's algorithm for the connections that a listening
// socket will accept. They inherit it, which saves a system call for each.
func noDelay(network, _ string, rc syscall.RawConn) error {
	if network == "unix" {
		return nil
	}
	var set error
	err := rc.Control(func(fd uintptr) {
		set = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1)
	})
	if err != nil {
		return err
	}
	return set
}
