package spatetest_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/consumer"
	"github.com/spate-io/spate/event"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/stream"
)

// shop is what a user wants to test: an application that writes an invoice for each order, with numbers that have no gap.
func shop(app *spate.App) error {
	return app.Consumers().Handle(consumer.Config{Name: "invoices", Stream: "orders"}, func(ctx context.Context, d *consumer.Delivery) error {
		last, err := d.Get(ctx, "number")
		if err != nil {
			return err
		}
		var number int
		_, _ = fmt.Sscan(string(last), &number) // nothing is there at first
		number++
		if err := d.Put("number", fmt.Append(nil, number)); err != nil {
			return err
		}
		return d.Publish(&event.Event{Subject: "invoices/" + d.Event.Subject[len("orders/"):], Data: fmt.Appendf(nil, "%d: %s", number, d.Event.Data)})
	})
}

var shopStreams = []stream.Config{
	{Name: "orders", Subjects: []string{"orders/#"}},
	{Name: "invoices", Subjects: []string{"invoices/#"}},
}

// A node in one line, something happens, something comes of it.
func TestShop(t *testing.T) {
	n := spatetest.New(t, spatetest.Options{App: spate.Options{Streams: shopStreams}, Setup: shop})
	n.Publish("orders/anna", "a book")
	n.Publish("orders/anna", "a lamp")
	for i, e := range n.WaitFor("invoices/anna", 2) {
		if want := []string{"1: a book", "2: a lamp"}[i]; string(e.Data) != want {
			t.Errorf("invoice %q, want %q", e.Data, want)
		}
	}
}

// The numbers have no gap wherever the process is killed. Under synctest all waiting costs no time.
func TestShopSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := spatetest.New(t, spatetest.Options{App: spate.Options{Streams: shopStreams}, Setup: shop})
		n.Publish("orders/anna", "a book")
		n.CrashBefore(n.Appends("invoices/#")) // the invoice is written, and not stored
		n.Publish("orders/anna", "a lamp")
		n.Settle()
		n.CrashAfter(n.Appends("invoices/#")) // it is stored, and nobody knows
		n.Publish("orders/anna", "a bed")
		n.Settle()
		for i, e := range n.Stored("invoices") {
			if want := []string{"1: a book", "2: a lamp", "3: a bed"}[i]; string(e.Data) != want {
				t.Errorf("invoice %q, want %q", e.Data, want)
			}
		}
	})
}
