package memstore

import (
	"time"

	"github.com/spate-io/spate/store"
)

// Defaults of [Options].Limits. They are tighter than those of the embedded store, so that tests find who assumes that a batch has no bound.
const (
	DefaultOperations = 1000     // what one atomic batch of a JetStream cluster holds
	DefaultBytes      = 32 << 20 // twice the largest event by default
	DefaultPending    = 64 << 20
	DefaultKey        = 1024
)

// Options of a store. The zero value is good.
type Options struct {
	// Clock gives the time stamps of records. Default [time.Now].
	Clock func() time.Time

	// Limits is what the store takes; a field that is 0 means the default named here.
	Limits store.Limits

	// BeforeCommit, if it is set, is called before each batch is committed; an error refuses the batch. It is called by the
	// goroutine that commits, without a lock, so it may block, to hold commits up, and may call [Store.Reopen], to crash before the commit.
	BeforeCommit func(*store.Batch) error

	// AfterCommit, if it is set, is called after a batch was committed and before its done function. It may call
	// [Store.Reopen], to crash when the batch was kept and nobody was told.
	AfterCommit func(*store.Batch)
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.BeforeCommit == nil {
		o.BeforeCommit = func(*store.Batch) error { return nil }
	}
	if o.AfterCommit == nil {
		o.AfterCommit = func(*store.Batch) {}
	}
	l := &o.Limits
	l.Operations = orDefault(l.Operations, DefaultOperations)
	l.Bytes = orDefault(l.Bytes, DefaultBytes)
	l.Pending = orDefault(l.Pending, DefaultPending)
	l.Key = orDefault(l.Key, DefaultKey)
	return o
}

func orDefault(n, def int) int {
	if n == 0 {
		return def
	}
	return n
}
