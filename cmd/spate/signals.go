package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// signals are those that the process was sent.
type signals struct {
	end    chan os.Signal // SIGTERM, SIGINT
	reload chan os.Signal // SIGHUP, where there is one
}

// catchSignals keeps signals from ending the process. It is called before the
// listeners open, so that no signal is lost in between.
func catchSignals() *signals {
	s := &signals{end: make(chan os.Signal, 2), reload: make(chan os.Signal, 1)}
	signal.Notify(s.end, os.Interrupt, syscall.SIGTERM)
	signal.Notify(s.reload, syscall.SIGHUP)
	return s
}

func (s *signals) stop() {
	signal.Stop(s.end)
	signal.Stop(s.reload)
}

// rule calls run with a context that the first signal ends, and returns what it
// returns. A second signal ends the process at once, after
// cutOff has said so. SIGHUP calls reload, one
// after the other; what it has to say, it logs.
func (s *signals) rule(ctx context.Context, run func(context.Context) error, reload func() error, cutOff func()) error {
	ctx, drain := context.WithCancel(ctx)
	defer drain()
	done := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		ending := false
		for {
			select {
			case <-s.reload:
				_ = reload()
			case <-s.end:
				if ending {
					cutOff()
					os.Exit(exitFailed)
				}
				ending = true
				drain()
			case <-done:
				return
			}
		}
	})
	err := run(ctx)
	close(done)
	watching.Wait()
	return err
}
