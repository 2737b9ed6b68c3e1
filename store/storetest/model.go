package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/store"
)

// SeedVariable is the environment variable that sets the seed of [RunModel], to repeat what failed.
const SeedVariable = "SPATE_MODEL_SEED"

// RunModel drives a store and a model side by side through random steps: batches of every kind, several at a time, clocks that step, reopening, crashes,
// snapshots. After each step it compares every answer and everything that can be read. The model, which is any store that is
// trusted (memstore), is given the clock of the harness. A failure is reported with its seed and with as few of the steps as still fail.
func RunModel(t *testing.T, open func(t *testing.T) Harness, model func(clock func() time.Time) store.Store, steps int) {
	t.Helper()
	seed := rand.Uint64() //nolint:gosec // it must vary, and is printed
	if s := os.Getenv(SeedVariable); s != "" {
		var err error
		if seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", SeedVariable, err)
		}
	}
	try := func(script []step) error { return play(t.Context(), open(t), model, script) }
	script := generate(seed, steps)
	err := try(script)
	if err == nil {
		return
	}
	fewer, why := shrink(script, err, try)
	var b strings.Builder
	for i, s := range fewer {
		fmt.Fprintf(&b, "\n%3d %s", i, s)
	}
	t.Fatalf("the store and the model differ (repeat it with %s=%d): %v\nIt takes %d of %d steps:%s\nWith these: %v", SeedVariable, seed, err, len(fewer), len(script), b.String(), why)
}

// A pair is a store and its model.
type pair struct {
	Harness
	ctx         context.Context
	real, model store.Store
	latest      time.Time            // that the clock has shown
	relaxed     bool                 // a crash may lose something, so that the store is closed instead
	revisions   map[string][2]uint64 // by key: the last of the real store and of the model, also of keys that were deleted
}

// play runs a script from an empty store on, and returns the first difference.
func play(ctx context.Context, h Harness, model func(clock func() time.Time) store.Store, script []step) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(len(script))*time.Second+Patience)
	defer cancel()
	p := &pair{Harness: h, ctx: ctx, model: model(h.Clock.Now), revisions: map[string][2]uint64{}}
	defer func() { err = errors.Join(err, p.model.Close()) }()
	if p.real, err = h.Open(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.real.Close()) }()
	for i, s := range script {
		if err := p.step(s); err != nil {
			return fmt.Errorf("step %d (%s): %w", i, s, err)
		}
	}
	return nil
}

func (p *pair) step(s step) error {
	p.Clock.Advance(s.clock)
	if err := p.restart(s.restart); err != nil {
		return err
	}
	if err := p.commit(p.inTime(s.batches)); err != nil {
		return err
	}
	if err := p.compare(p.real, s.page); err != nil {
		return err
	}
	if err := p.compareRevisions(); err != nil {
		return err
	}
	if s.restart == throughSnapshot {
		return p.compareRestored(s.page)
	}
	return nil
}

// inTime leaves out what asks for Dedupe while the clock has stepped back: whether a store still knows an ID that was older than the window is not promised.
func (p *pair) inTime(drafts []draft) []draft {
	now := p.Clock.Now()
	if !now.Before(p.latest) {
		p.latest = now
		return drafts
	}
	drafts = slices.Clone(drafts)
	for i, d := range drafts {
		drafts[i].Appends = slices.DeleteFunc(slices.Clone(d.Appends), func(a store.Append) bool { return a.Dedupe > 0 })
	}
	return drafts
}

func (p *pair) restart(how restart) (err error) {
	switch {
	case how == byCrash && p.Crash != nil && !p.relaxed:
		p.Crash(p.real)
	case how == byCrash || how == byClosing:
		if err := p.real.Close(); err != nil {
			return err
		}
	default:
		return nil
	}
	s, err := p.Open()
	if err == nil {
		p.real, p.relaxed = s, false
	}
	return err
}

// commit submits the batches of a step to both, without waiting between them, and compares the answers.
func (p *pair) commit(drafts []draft) error {
	tested, testedErrs, err := submitAll(p.ctx, p.real, drafts)
	if err != nil {
		return err
	}
	model, modelErrs, err := submitAll(p.ctx, p.model, drafts)
	if err != nil {
		return fmt.Errorf("the model: %w", err)
	}
	for i := range drafts {
		p.relaxed = p.relaxed || drafts[i].Durability != store.Fsync
		if got, want := testedErrs[i], modelErrs[i]; (got == nil) != (want == nil) || got != nil && !errors.Is(got, store.ErrConflict) {
			return fmt.Errorf("batch %d: the answer is %v, the model's is %v", i, got, want) //nolint:errorlint // either may be nil
		}
		if testedErrs[i] != nil {
			continue
		}
		for j := range drafts[i].Appends {
			got, want := tested[i].Appends[j], model[i].Appends[j]
			if got.Offset != want.Offset || got.Duplicate != want.Duplicate || !got.Appended.Equal(want.Appended) {
				return fmt.Errorf("batch %d, append %d: offset %d, duplicate %v, appended %v, the model says %d, %v, %v",
					i, j, got.Offset, got.Duplicate, got.Appended, want.Offset, want.Duplicate, want.Appended)
			}
		}
	}
	return nil
}

func submitAll(ctx context.Context, s store.Store, drafts []draft) ([]*store.Batch, []error, error) {
	batches := make([]*store.Batch, len(drafts))
	for i, d := range drafts {
		b, err := d.build(ctx, s)
		if err != nil {
			return nil, nil, err
		}
		batches[i] = b
	}
	answers := make([]chan error, len(drafts))
	for i, b := range batches {
		answer := make(chan error, 1)
		answers[i] = answer
		s.Submit(b, func(err error) { answer <- err })
	}
	errs := make([]error, len(drafts))
	for i := range answers {
		select {
		case errs[i] = <-answers[i]:
		case <-ctx.Done():
			return nil, nil, fmt.Errorf("batch %d was not answered: %w", i, ctx.Err())
		}
	}
	return batches, errs, nil
}

func (p *pair) compare(s store.Store, page store.ReadOptions) error {
	got, err := imageOf(p.ctx, s, page)
	if err != nil {
		return err
	}
	want, err := imageOf(p.ctx, p.model, store.ReadOptions{})
	if err != nil {
		return fmt.Errorf("the model: %w", err)
	}
	if d := got.unlike(want); d != "" {
		return fmt.Errorf("the store differs from the model: it%s", d)
	}
	return nil
}

// compareRevisions checks that a revision grows when the model's does, and stays when it stays.
func (p *pair) compareRevisions() error {
	got, err := scanAll(p.ctx, p.real, "", 100)
	if err != nil {
		return err
	}
	for _, e := range got {
		want, err := p.model.Get(p.ctx, e.Key)
		if err != nil {
			return err
		}
		last := p.revisions[e.Key]
		if e.Revision < last[0] || (e.Revision == last[0]) != (want.Revision == last[1]) {
			return fmt.Errorf("key %q has revision %d after %d, in the model %d after %d", e.Key, e.Revision, last[0], want.Revision, last[1])
		}
		p.revisions[e.Key] = [2]uint64{e.Revision, want.Revision}
	}
	return nil
}

// compareRestored takes a snapshot and compares what can be made of it.
func (p *pair) compareRestored(page store.ReadOptions) error {
	var taken bytes.Buffer
	if err := p.real.Snapshot(p.ctx, &taken, store.SnapshotOptions{}); err != nil {
		return err
	}
	restored, err := p.Restore(&taken)
	if err != nil {
		return err
	}
	if err := p.compare(restored, page); err != nil {
		return errors.Join(fmt.Errorf("restored from a snapshot: %w", err), restored.Close())
	}
	return restored.Close()
}
