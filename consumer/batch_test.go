package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"testing"

	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/store/memstore"
)

// The events of a batch share what they keep: each sees what those before it have put, and more than a commit takes makes batches smaller.
func TestBatchSharesItsEffects(t *testing.T) {
	n := newNode(t, memstore.New(memstore.Options{})) // which takes 1000 operations in a commit
	const each = 300
	for _, key := range []string{"a", "b"} {
		n.publish(key, numbers(each)...)
	}
	largest, refused := 0, 0
	err := n.set.HandleBatch(consumer.Config{Name: "c", Stream: "in", BatchSize: each, Concurrency: 1}, func(ctx context.Context, batch []*consumer.Delivery) error {
		for _, d := range batch {
			was, err := d.Get(ctx, "count")
			if err != nil {
				return err
			}
			count, _ := strconv.Atoi(string(was))
			err = errors.Join(d.Put("count", []byte(strconv.Itoa(count+1))),
				d.Publish(&event.Event{Subject: "out/" + d.Event.Subject[3:], Data: fmt.Appendf(nil, "%s:%d", d.Event.Data, count+1)}))
			if errors.Is(err, consumer.ErrStepTooLarge) {
				refused++
			}
			if err != nil {
				return err
			}
		}
		largest = max(largest, len(batch))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	n.run()
	n.caughtUp("c")
	n.stop()
	var want []string
	for i := range each {
		want = append(want, fmt.Sprintf("%d:%d", i, i+1))
	}
	got := n.read("out")
	for _, key := range []string{"out/a", "out/b"} {
		if !slices.Equal(got[key], want) {
			t.Errorf("%s: %v", key, got[key])
		}
	}
	if refused == 0 || largest < 10 {
		t.Errorf("%d steps were too large, and the largest of the others had %d events", refused, largest)
	}
	if info := n.info("c"); info.Counters.Retried != 0 || info.Counters.Dead != 0 {
		t.Errorf("counted as failures: %+v", info.Counters)
	}
}
