package spatetest_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/spate-io/spate"
	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/spatetest"
	"github.com/spate-io/spate/stream"
)

// What a user wants to test: an application that writes an invoice for each order, with numbers that have no gap.
type (
	order   struct{ Customer, Item string }
	invoice struct {
		Customer, Item string
		Number         int
	}
)

var (
	orders   = bus.NewTopic("orders/+", bus.Key(func(o order) string { return o.Customer }))
	invoices = bus.NewTopic("invoices/+", bus.Key(func(i invoice) string { return i.Customer }))
	number   = bus.NewState[int]("number")
)

func newShop(o spate.Options) *spate.App {
	o.Streams = []stream.Config{{Name: "orders", Subjects: []string{"orders/+"}}, {Name: "invoices", Subjects: []string{"invoices/+"}}}
	app := spate.New(o)
	bus.Handle(app, orders, "bill", func(ctx context.Context, o order) error {
		last, err := number.Get(ctx)
		if err != nil {
			return err
		}
		if err := number.Set(ctx, last+1); err != nil {
			return err
		}
		return bus.Publish(ctx, invoices, invoice{o.Customer, o.Item, last + 1})
	})
	return app
}

// buy publishes an order and waits until it is stored.
func buy(t *testing.T, n *spatetest.Node, item string) {
	t.Helper()
	e, err := orders.Event(t.Context(), order{"anna", item})
	if err != nil {
		t.Fatal(err)
	}
	n.PublishEvent(e)
}

// A node in one line, something happens, something comes of it.
func TestShop(t *testing.T) {
	n := spatetest.New(t, spatetest.Options{Make: newShop})
	buy(t, n, "book")
	buy(t, n, "lamp")
	want := []invoice{{"anna", "book", 1}, {"anna", "lamp", 2}}
	if got := spatetest.WaitForValues(n, invoices, 2); !slices.Equal(got, want) {
		t.Errorf("invoices %v, want %v", got, want)
	}
}

// The numbers have no gap when the process is killed at the worst moments. Under synctest all waiting costs no time.
func TestShopSurvives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := spatetest.New(t, spatetest.Options{Make: newShop})
		buy(t, n, "book")
		n.CrashBefore(n.Appends("invoices/#")) // the invoice is written, and not stored
		buy(t, n, "lamp")
		n.Settle()
		n.CrashAfter(n.Appends("invoices/#")) // it is stored, and nobody knows
		buy(t, n, "bed")
		n.Settle()
		want := []invoice{{"anna", "book", 1}, {"anna", "lamp", 2}, {"anna", "bed", 3}}
		if got := spatetest.Values(n, invoices); !slices.Equal(got, want) {
			t.Errorf("invoices %v, want %v", got, want)
		}
	})
}

// Or wherever it is killed.
func TestShopSurvivesEverything(t *testing.T) {
	spatetest.CrashEverywhere(t, func(*testing.T) spatetest.Options { return spatetest.Options{Make: newShop} }, func(t *testing.T, n *spatetest.Node) {
		buy(t, n, "book")
		buy(t, n, "lamp")
		n.Settle()
		if got := spatetest.Values(n, invoices); !slices.Equal(got, []invoice{{"anna", "book", 1}, {"anna", "lamp", 2}}) {
			t.Errorf("invoices %v", got)
		}
	})
}
