//go:build !linux

package engine

import "syscall"

const defaultDriver = Net

func newEpollDriver(*Engine) (driver, error) { return nil, ErrDriver }

func unsent(uintptr) int { return 0 }

func unread(uintptr) int { return 0 }

func controlListener(string, string, syscall.RawConn) error { return nil }
