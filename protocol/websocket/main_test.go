package websocket_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// Tests that run in parallel wait for deadlines most of the time, whatever the
// number of processors.
func TestMain(m *testing.M) {
	flag.Parse()
	if f := flag.Lookup("test.parallel"); f.Value.String() == f.DefValue {
		if err := f.Value.Set("16"); err != nil {
			panic(err)
		}
	}
	goleak.VerifyTestMain(m)
}
