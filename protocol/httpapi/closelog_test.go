package httpapi_test

import (
	"context"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// Clients decide how often they break the protocol, so the lines about it are
// few. What has none is counted, and no closing is neither told nor counted.
func TestClosingsDoNotFloodTheLog(t *testing.T) {
	const clients = 300
	k := start(t, setup{})
	began := time.Now()
	for range clients {
		c := k.dial()
		send(c, "nonsense\r\n\r\n")
		_, _ = io.Copy(io.Discard, c) // it may end with a reset
		_ = c.Close()
	}
	told, counted := 0, 0
	count := func(l line) (leftOut bool) {
		switch l.msg {
		case "connection closed":
			if l.attrs["reason"] == engine.ReasonProtocol.String() {
				told++
			}
		case "connections closed without a line of their own: too many at a time":
			n, err := strconv.Atoi(l.attrs["count"])
			if err != nil {
				t.Error(err)
			}
			counted += n
			return true
		}
		return false
	}
	k.log.wait(t, "a line about what was left out, while the door serves,", count)
	if err := k.Shutdown(context.Background()); err != nil {
		t.Fatal(err)
	}
	most := 100 + int(time.Since(began)/(100*time.Millisecond)) + 1
	for len(k.log.lines) > 0 {
		count(<-k.log.lines)
	}
	if told < 100 || told > most {
		t.Errorf("%d lines about closings, want 100 to %d", told, most)
	}
	if closed := k.Stats().Closed[engine.ReasonProtocol]; told+counted != clients || closed != clients {
		t.Errorf("%d closings were told and %d counted in the log, and %d by the door, of %d", told, counted, closed, clients)
	}
}
