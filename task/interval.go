package task

import (
	"context"
	"fmt"
	"iter"
	"time"
)

// A Missed policy says what an Interval does when its user comes back after the next tick was due.
type Missed int

// The policies for missed ticks. With Every = 10 s, the first tick at 0 and a user who is busy from the tick
// at 10 to 35, the ticks after that come at
const (
	// Skip: 35 (the one due at 20; the one due at 30 is skipped), 40, 50: late once, then in step
	// with the schedule. It is the default.
	Skip Missed = iota
	// Burst: 35, 35 (due at 20 and 30), 40, 50: every tick comes, the missed ones at once. Danger: a user that
	// is slower than Every never catches up and never waits.
	Burst
	// Delay: 35, 45, 55: the schedule starts anew from the late tick, so that two are never closer than Every.
	Delay
)

// An Interval ticks every so often: the first time After its first Tick call, then Every. It is for one
// goroutine. It needs no Stop: one that is dropped is garbage.
//
// Cost: one timer for its whole life; a tick allocates nothing.
type Interval struct {
	// Every is the time between two ticks. It has no default: Tick panics unless it is positive.
	Every time.Duration
	// After is the time until the first tick. The default, 0, is at once.
	After time.Duration
	// Missed says what to do about ticks that were missed. The default is Skip.
	Missed Missed

	timer   *time.Timer
	next    time.Time // when the next tick is due
	skipped uint64
}

// Tick blocks until the next tick and returns when it was due. If ctx ends first, or has ended already, it
// returns an error that matches ctx.Err(), and the tick that it waited for is the next call's.
func (i *Interval) Tick(ctx context.Context) (due time.Time, err error) {
	if i.Every <= 0 {
		panic(fmt.Sprintf("task: an Interval cannot tick every %v: set Every to more than 0", i.Every))
	}
	now := time.Now()
	if i.next.IsZero() {
		i.next = now.Add(i.After)
	}
	if err := i.wait(ctx, i.next.Sub(now)); err != nil {
		return time.Time{}, err
	}
	due = i.next
	i.next = due.Add(i.Every)
	if late := now.Sub(due); late > 0 {
		i.catchUp(now, late)
	}
	return due, nil
}

// catchUp puts the next tick where the policy wants it, the last one having been taken late.
func (i *Interval) catchUp(now time.Time, late time.Duration) {
	switch i.Missed {
	case Burst:
	case Delay:
		i.next = now.Add(i.Every)
	default:
		i.next = i.next.Add(late - late%i.Every)
		i.skipped += uint64(late / i.Every)
	}
}

func (i *Interval) wait(ctx context.Context, d time.Duration) error {
	if ctx.Err() == nil && d > 0 {
		if i.timer == nil {
			i.timer = time.NewTimer(d)
		} else {
			i.timer.Reset(d)
		}
		select {
		case <-i.timer.C:
			return nil
		case <-ctx.Done():
			i.timer.Stop()
		}
	}
	if ctx.Err() != nil {
		return ended(ctx, "awaiting the next tick")
	}
	return nil
}

// Ticks yields the ticks until ctx ends. It shares the schedule with Tick.
func (i *Interval) Ticks(ctx context.Context) iter.Seq[time.Time] {
	return func(yield func(time.Time) bool) {
		for {
			due, err := i.Tick(ctx)
			if err != nil || !yield(due) {
				return
			}
		}
	}
}

// Skipped returns how many ticks the Skip policy has left out so far.
func (i *Interval) Skipped() uint64 { return i.skipped }

// Reset lets the next tick be due After from the next Tick call, as if the Interval were new.
func (i *Interval) Reset() { i.next = time.Time{} }
