//go:build !linux

package main

import "errors"

func pin(int, int) error {
	return errors.New("servers and load are pinned to CPUs, which works on Linux only")
}
