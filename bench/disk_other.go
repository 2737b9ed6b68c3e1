//go:build !linux

package main

import (
	"errors"
	"os"
	"time"
)

func fileSystem(string) (string, bool, error) { return "unknown file system", false, nil }

func datasync(f *os.File) error { return f.Sync() }

func forget() error { return errors.New("emptying the cache of files works on Linux only") }

func nap(d time.Duration) { time.Sleep(d) }
