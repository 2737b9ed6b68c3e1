package resp

import (
	"fmt"
	"strings"
	"testing"

	"github.com/spate-io/spate/bus"
	"github.com/spate-io/spate/store/memstore"
	"github.com/spate-io/spate/stream"
)

// TestLongStreamReplies has nothing left for long replies: those that can end early do, the others are refused, short ones are served, and all that was taken is given back.
func TestLongStreamReplies(t *testing.T) {
	m := memstore.New(memstore.Options{})
	defer m.Close()
	log, err := stream.Open(t.Context(), m, stream.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := bus.New(bus.Options{Log: log})
	defer b.Wait()
	p, conn := connected(t, Options{Bus: b, CreateStreams: true})
	ask := func(words ...string) string {
		got := talk(t, conn.Listener().Addr(), request(words...)+request("QUIT"))
		return strings.TrimSuffix(got, "+OK\r\n")
	}
	const entries = 2000
	var fill strings.Builder
	for i := range entries {
		fill.WriteString(request("XADD", "k", fmt.Sprintf("1-%d", i+1), "data", strings.Repeat("x", 100)))
	}
	talk(t, conn.Listener().Addr(), fill.String()+request("XGROUP", "CREATE", "k", "g", "0")+request("XREADGROUP", "GROUP", "g", "c", "STREAMS", "k", ">")+request("QUIT"))
	for _, short := range []bool{false, true} {
		before := int64(0)
		if short {
			before = longReplies
		}
		p.long.Store(before)
		for words, ends := range map[string]bool{
			"XREAD STREAMS k 0":                      true,
			"XREADGROUP GROUP g c STREAMS k 0":       true,
			"XAUTOCLAIM k g c 0 0 COUNT 5000":        true,
			"XPENDING k g - + 5000":                  false,
			"XINFO STREAM k FULL COUNT 0":            false,
			"XRANGE k - +":                           false,
			"XPENDING k g - + 10":                    true,
			"XINFO GROUPS k":                         true,
			"XINFO CONSUMERS k g":                    true,
			"XREVRANGE k + - COUNT 10":               true,
			"XINFO STREAM k":                         true,
			"XREAD COUNT 1 STREAMS k 1-5":            true,
			"XAUTOCLAIM k g c 0 0 COUNT 5000 JUSTID": true,
		} {
			got := ask(strings.Fields(words)...)
			if refused := strings.HasPrefix(got, "-ERR the reply would be too long"); got == "" || refused != (short && !ends) || got[0] == '-' && !refused {
				t.Errorf("%v, %s: %.100q", short, words, got)
			}
			if short && len(got) > 4*replyFlush {
				t.Errorf("%s: %d bytes", words, len(got))
			}
		}
		if n := p.long.Load(); n != before {
			t.Errorf("%d bytes are counted after all", n-before)
		}
	}
}
