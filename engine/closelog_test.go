package engine_test

import (
	"errors"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/spate-io/spate/engine"
)

// Peers decide how often they break the protocol, so the lines about it are
// few. What has none is counted, and no closing is neither told nor counted.
func TestClosingsDoNotFloodTheLog(t *testing.T) {
	const clients = 400
	eachDriver(t, func(t *testing.T, driver string) {
		s := serve(t, driver, "tcp", &lines{handle: func(*engine.Conn, string) error {
			return engine.Because(engine.ReasonProtocol, errors.New("by the test"))
		}}, engine.Limits{})
		start := time.Now()
		for range clients {
			c := s.dial()
			c.send("nonsense\n")
			c.gone()
			_ = c.raw.Close()
		}
		s.closedFor(engine.ReasonProtocol, clients)
		if err := s.shutdown(5 * time.Second); err != nil {
			t.Fatal(err)
		}
		log := s.log.String()
		told := strings.Count(log, `msg="connection closed"`)
		most := 100 + int(time.Since(start)/(100*time.Millisecond)) + 1
		if told < 100 || told > most {
			t.Errorf("%d lines about closings, want 100 to %d", told, most)
		}
		counted := 0
		for _, m := range regexp.MustCompile(`too many at a time" count=(\d+)`).FindAllStringSubmatch(log, -1) {
			n, err := strconv.Atoi(m[1])
			if err != nil {
				t.Fatal(err)
			}
			counted += n
		}
		if told+counted != clients {
			t.Errorf("%d closings were told and %d counted, of %d", told, counted, clients)
		}
	})
}
