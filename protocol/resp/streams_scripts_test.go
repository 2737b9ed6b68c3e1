package resp_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
)

// streamMask takes out times, and the size of the radix tree that only Redis has.
var streamMask = []string{"radix", "idle", "pending", "clock"}

// streamScripts are about streams, with IDs that are given, so that the replies are the same every time.
func streamScripts() []script {
	all := []script{
		{name: "xadd", steps: []step{"DEL a b", "XADD a 1-1 f v", "XADD a 1-1 f v", "XADD a 1-0 f v", "XADD a 0-0 f v", "XADD a 0 f v", "XADD a 1-* f v", "XADD a 1-* f v", "XADD a 0-* f v",
			"XADD a 2 f v", "XADD a 3-5 f", "XADD a 3-5", "XADD a 3-5 f v g", "XADD a x f v", "XADD a -1 f v", "XADD a 1-1-1 f v", "XADD a - f v", "XADD a + f v", "XADD a $ f v",
			"XADD a 007-01 f v", "XADD a NOMKSTREAM 8-1 f v", "XADD b NOMKSTREAM 8-1 f v", "XADD b NOMKSTREAM x f v", "XADD b NOMKSTREAM * f v", "EXISTS b",
			"XADD a MAXLEN 2 9-1 f v", "XLEN a", "XADD a MAXLEN = 1 9-2 f v", "XRANGE a - +", "XADD a MAXLEN 0 9-3 f v", "XLEN a", "XINFO STREAM a", "XADD a MAXLEN -1 9-4 f v", "XADD a MAXLEN x 9-4 f v",
			"XADD a MAXLEN ~ 1 LIMIT 0 9-4 f v", "XADD a MAXLEN 1 LIMIT 1 9-5 f v", "XADD a LIMIT 1 9-5 f v", "XADD a MAXLEN 1 MINID 1 9-5 f v", "XADD a MINID 9-5 9-5 f v", "XRANGE a - +",
			"XADD a MINID ~ 9-5 LIMIT -1 9-6 f v", "XADD a MINID x 9-6 f v", "XADD a MAXLEN", "XADD a MAXLEN 1 * f", "XADD a 18446744073709551615-18446744073709551614 f v",
			"XADD a 18446744073709551615-* f v", "XADD a * f v", "XADD a 18446744073709551615-18446744073709551615 f v", "XADD a 18446744073709551616-1 f v", "XRANGE a - +", "XLEN a", "XLEN nosuch", "XLEN a b"}},
		{name: "xadd fields", steps: []step{"DEL a", `XADD a 1-1 data x`, `XADD a 1-2 data ""`, `XADD a 1-3 "" ""`, `XADD a 1-4 f 1 f 2 f 1`, `XADD a 1-5 "\x00\xff" "\xfe\r\n"`, `XADD a 1-6 "a\x22b\\" "\t\r\n\x01\x7f"`,
			`XADD a 1-7 data "\xff"`, `XADD a 1-8 data 1 data 2`, `XADD a 1-9 "ä€😀" "</>&"`, `XADD a 2-1 data 1 g 2`, `XADD a 2-2 {} []`, "XRANGE a - +", "XREVRANGE a + - COUNT 3"}},
		{name: "xrange", mask: []string{"id", "version"}, steps: []step{"DEL a", "XADD a 1-1 f 1", "XADD a 1-2 f 2", "XADD a 2-0 f 3", "XADD a 5-5 f 4", "XRANGE a - +", "XRANGE a 1 1", "XRANGE a (1-1 +", "XRANGE a (1 (2", "XRANGE a 1-2 2", "XRANGE a 2 1", "XRANGE a (1-1 (1-2",
			"XREVRANGE a + -", "XREVRANGE a 2 1-2", "XREVRANGE a (2 (1-1", "XREVRANGE a + - COUNT 2", "XRANGE a - + COUNT 2", "XRANGE a - + COUNT 0", "XRANGE a - + COUNT -5", "XRANGE nosuch - + COUNT 0", "XRANGE nosuch - +",
			"XRANGE a - + COUNT", "XRANGE a - + COUNT x", "XRANGE a - + x 1", "XRANGE a - + COUNT 1 COUNT 3", "XRANGE a x +", "XRANGE a - y", "XRANGE a (- +", "XRANGE a (18446744073709551615-18446744073709551615 +", "XRANGE a - (0", "XRANGE a ( +",
			"XRANGE a + -", "XRANGE a 99999999999999999999 +", "HELLO 3", "XRANGE a - + COUNT 0", "XRANGE a 1 1"}},
		{name: "xread", mask: []string{"id", "version"}, steps: []step{"DEL a b", "XREAD STREAMS a 0", "XADD a 1-1 f 1", "XADD b 2-1 f 2", "XREAD STREAMS a 0", "XREAD STREAMS a b 0 0", "XREAD STREAMS a b 1-1 2-1", "XREAD COUNT 1 STREAMS b a 0 0", "XREAD STREAMS a $",
			"XREAD BLOCK 1 STREAMS a $", "XREAD BLOCK 1 STREAMS nosuch $", "XREAD BLOCK 1 STREAMS a 0", "XREAD STREAMS a b 0", "XREAD STREAMS a", "XREAD COUNT x STREAMS a 0", "XREAD COUNT -1 STREAMS a 0", "XREAD COUNT 0 STREAMS a 0", "XREAD BLOCK -1 STREAMS a 0",
			"XREAD BLOCK x STREAMS a 0", "XREAD FOO STREAMS a 0", "XREAD NOACK STREAMS a 0", "XREAD GROUP g c STREAMS a 0", "XREAD STREAMS a >", "XREAD STREAMS a x", "XREAD STREAMS a -", "XREAD STREAMS a +", "XREAD STREAMS a (1", "XREAD COUNT 1 BLOCK 1",
			"HELLO 3", "XREAD STREAMS a b 0 0", "XREAD STREAMS a 9", "XREAD BLOCK 1 STREAMS a 9", "1> XREAD BLOCK 1 STREAMS a 9"}},
		{name: "xgroup", mask: append([]string{"id", "version"}, streamMask...), steps: []step{"DEL a b", "XGROUP CREATE a g 0", "XGROUP CREATE a g x", "XGROUP CREATE a g 0 MKSTREAM", "TYPE a", "XINFO STREAM a", "XGROUP CREATE a g 0 MKSTREAM", "XGROUP CREATE a h $", "XGROUP CREATE a i x", "XGROUP CREATE a i 0 ENTRIESREAD 3",
			"XGROUP CREATE a j 0 ENTRIESREAD -2", "XGROUP CREATE a j 0 ENTRIESREAD x", "XGROUP CREATE a j 0 ENTRIESREAD", "XGROUP CREATE a j 0 FOO", "XGROUP CREATE b j 0 FOO", "XINFO GROUPS a", "XGROUP SETID a nosuch 0", "XGROUP SETID a nosuch x", "XGROUP SETID b g 0", "XGROUP SETID a g 5 ENTRIESREAD 2", "XGROUP SETID a g x",
			"XGROUP SETID a g 5 MKSTREAM", "XGROUP SETID a h $", "XINFO GROUPS a", "XGROUP CREATECONSUMER a g x", "XGROUP CREATECONSUMER a g x", "XGROUP CREATECONSUMER a nosuch x", "XGROUP CREATECONSUMER b g x", "XGROUP DELCONSUMER a g x", "XGROUP DELCONSUMER a g x",
			"XGROUP DELCONSUMER a nosuch x", "XGROUP DESTROY a g", "XGROUP DESTROY a g", "XGROUP DESTROY b g", "XGROUP FOO", "XGROUP", "XGROUP CREATE", "XGROUP HELP", "XINFO HELP", "XINFO FOO", "XINFO STREAM b", "XINFO GROUPS b", "XINFO CONSUMERS b g", "XINFO CONSUMERS a nosuch", "XINFO CONSUMERS a h",
			"XINFO STREAM a x", "XINFO STREAM a FULL x 1", "XINFO STREAM a FULL COUNT x", "XINFO STREAM a FULL COUNT", "XINFO STREAM a FULL COUNT 1", "HELLO 3", "XINFO STREAM a", "XINFO STREAM a FULL", "XINFO GROUPS a", "EXISTS a b a", "TYPE b", "UNLINK a b", "TYPE a"}},
		{name: "xreadgroup", mask: streamMask, steps: []step{"DEL a b", "XREADGROUP GROUP g x STREAMS a >", "XADD a 1-1 f 1", "XADD a 1-2 f 2", "XADD a 1-3 f 3", "XGROUP CREATE a g 0", "XREADGROUP GROUP g x COUNT 2 STREAMS a >", "XREADGROUP GROUP g y STREAMS a 18446744073709551615-18446744073709551615", "XREADGROUP GROUP g y STREAMS a >", "XREADGROUP GROUP g z BLOCK 1 STREAMS a >",
			"XREADGROUP GROUP g x STREAMS a 0", "XREADGROUP GROUP g x COUNT 1 STREAMS a 1-1", "XREADGROUP GROUP g nobody STREAMS a 0", "XINFO CONSUMERS a g", "XPENDING a g", "XPENDING a g - + 10", "XPENDING a g - + 10 x", "XPENDING a g - + 10 nobody", "XPENDING a g IDLE 0 - + 1", "XPENDING a g IDLE 99999999 - + 10", "XPENDING a g IDLE 1", "XPENDING a g IDLE x - + 1", "XPENDING a g -", "XPENDING a g - + x", "XPENDING a g (1-1 (1-3 9", "XPENDING a g - + -1", "XPENDING a nosuch", "XPENDING nosuch g - + 1",
			"XDEL a 1-2", "XREADGROUP GROUP g x STREAMS a 0", "XACK a g 1-1 1-1 9-9", "XACK a nosuch x", "XACK a g x", "XACK nosuch g x", "XPENDING a g", "XREADGROUP GROUP g x STREAMS a $", "XREADGROUP GROUP g x STREAMS a x", "XREADGROUP STREAMS a > b c d >", "XREADGROUP GROUP g x STREAMS a b > >", "XREADGROUP GROUP g x NOACK STREAMS a >", "XADD a 2-1 f 4", "XREADGROUP GROUP g x NOACK STREAMS a >", "XPENDING a g",
			"XINFO STREAM a FULL", "XINFO GROUPS a", "XGROUP SETID a g 0", "XREADGROUP GROUP g z STREAMS a >", "XPENDING a g - + 10", "XINFO GROUPS a", "XGROUP DELCONSUMER a g z", "XPENDING a g"}},
		{name: "xclaim", mask: streamMask, steps: []step{"DEL a", "XADD a 1-1 f 1", "XADD a 1-2 f 2", "XADD a 1-3 f 3", "XGROUP CREATE a g 0", "XREADGROUP GROUP g x COUNT 2 STREAMS a >", "XCLAIM a g y 0 1-1", "XCLAIM a g y 0 1-1 1-1 JUSTID", "XCLAIM a g y 99999999 1-1", "XCLAIM a g y 0 1-3", "XCLAIM a g y 0 1-3 FORCE", "XCLAIM a g y 0 1-3 FORCE JUSTID", "XCLAIM a g y x 1-1", "XCLAIM a g y -5 1-1 RETRYCOUNT 7", "XCLAIM a g y 0 1-1 IDLE 10 TIME 5 RETRYCOUNT 3 LASTID 5-0",
			"XCLAIM a g y 0 1-1 FOO", "XCLAIM a g y 0 1-1 IDLE x", "XCLAIM a g y 0 1-1 TIME x", "XCLAIM a g y 0 1-1 RETRYCOUNT x", "XCLAIM a g y 0 1-1 LASTID x", "XCLAIM a g y 0 1-1 IDLE", "XCLAIM a nosuch y 0 1-1", "XCLAIM nosuch g y 0 1-1", "XPENDING a g - + 10", "XINFO GROUPS a", "XDEL a 1-2", "XCLAIM a g y 0 1-2", "XPENDING a g",
			"XREADGROUP GROUP g q STREAMS a 0", "XAUTOCLAIM a g z 0 0", "XAUTOCLAIM a g z 0 0 COUNT 1", "XAUTOCLAIM a g z 0 1-3 JUSTID", "XAUTOCLAIM a g z 99999999 -", "XDEL a 1-1", "XAUTOCLAIM a g z 0 (0 COUNT 1", "XAUTOCLAIM a g z 0 0", "XAUTOCLAIM a g z 0 x", "XAUTOCLAIM a g z 0 0 COUNT 0", "XAUTOCLAIM a g z 0 0 COUNT x", "XAUTOCLAIM a g z 0 0 FOO", "XAUTOCLAIM a g z x 0", "XAUTOCLAIM a nosuch z 0 0", "XAUTOCLAIM a g z -1 + JUSTID", "XINFO CONSUMERS a g"}},
		{name: "xtrim", mask: streamMask, steps: []step{"DEL a", "XADD a 1-1 f 1", "XADD a 1-2 f 2", "XADD a 1-3 f 3", "XADD a 1-4 f 4", "XADD a 1-5 f 5", "XDEL a 1-2 1-2 9-9", "XDEL a", "XDEL a x", "XDEL nosuch x", "XDEL a 1-4 x", "XINFO STREAM a", "XTRIM a MAXLEN 3", "XTRIM a MAXLEN ~ 1", "XTRIM a MAXLEN 1 LIMIT 2", "XTRIM a LIMIT 2", "XTRIM a FOO 1", "XTRIM a MAXLEN 1 FOO", "XTRIM a MINID 1-4", "XRANGE a - +", "XTRIM nosuch MAXLEN 0", "XTRIM nosuch MAXLEN", "XTRIM a MAXLEN 0", "XINFO STREAM a",
			"XADD a 1-5 f v", "XADD a 1-6 f v", "XSETID a 1-5", "XSETID a 9-9", "XSETID a x", "XSETID nosuch 1-1", "XSETID a 9-9 ENTRIESADDED 100 MAXDELETEDID 5-5", "XINFO STREAM a", "XSETID a 9-9 ENTRIESADDED 0 MAXDELETEDID 5-5", "XSETID a 9-9 ENTRIESADDED -1", "XSETID a 9-9 MAXDELETEDID 9-10", "XSETID a 9-9 ENTRIESADDED", "XSETID a 3-3 MAXDELETEDID 1-1", "XSETID a 3-3 ENTRIESADDED 5 MAXDELETEDID 1-1", "XADD a 3-3 f v", "XADD a 3-4 f v", "XINFO STREAM a"}},
		{name: "xinfo counters", mask: streamMask, steps: []step{"DEL a", "XADD a 1-1 f v", "XADD a 1-2 f v", "XGROUP CREATE a g 0 ENTRIESREAD 9223372036854775807", "XINFO GROUPS a", "XREADGROUP GROUP g x COUNT 1 STREAMS a >", "XINFO GROUPS a", "XREADGROUP GROUP g x COUNT 1 STREAMS a >", "XINFO GROUPS a",
			"XGROUP SETID a g 0 ENTRIESREAD 9223372036854775806", "XREADGROUP GROUP g x NOACK STREAMS a >", "XINFO GROUPS a", "XSETID a 5-5 ENTRIESADDED 9223372036854775807", "XINFO STREAM a", "XINFO GROUPS a", "XADD a 6-1 f v", "XINFO STREAM a", "XINFO GROUPS a", "XGROUP SETID a g 0 ENTRIESREAD 0", "XINFO GROUPS a", "XGROUP CREATE a h $", "XINFO GROUPS a", "XADD a 6-2 f v", "XINFO STREAM a FULL", "EXISTS a",
			"XGROUP SETID a g 0 ENTRIESREAD 9223372036854775808", "XGROUP SETID a g 0 ENTRIESREAD -1", "XINFO GROUPS a", "XGROUP SETID a g 18446744073709551615-18446744073709551615 ENTRIESREAD 1", "XINFO GROUPS a", "XREADGROUP GROUP g x STREAMS a >", "XDEL a 6-2", "XINFO GROUPS a", "XSETID a 7-7 ENTRIESADDED 1", "XTRIM a MAXLEN 1", "XSETID a 7-7 ENTRIESADDED 1 MAXDELETEDID 7-7", "XINFO GROUPS a", "XGROUP SETID a g 6-1 ENTRIESREAD 5", "XINFO GROUPS a", "XADD a 8-1 f v", "XREADGROUP GROUP g x STREAMS a >", "XINFO GROUPS a"}},
		{name: "stream waits", mask: streamMask, steps: []step{"DEL a", "!" + step(request("XREAD", "BLOCK", "5", "STREAMS", "a", "$")+request("PING")+request("XLEN", "a")), "PING"}},
	}
	for seed := range uint64(12) {
		sc := randomStreamScript(rand.New(rand.NewPCG(1, seed)))
		sc.name = fmt.Sprintf("random streams %d", seed)
		all = append(all, sc)
	}
	return all
}

// streamRequests are what random requests are made of: K is a key, G a group, C a consumer, I an ID, A an ID to add, R an end of a range,
// N a number, F a field or value.
var streamRequests = []string{
	"XADD K A F F", "XADD K A F F", "XADD K A F F F F", "XADD K A data F", "XADD K MAXLEN N A F F", "XADD K MAXLEN = N A F F", "XADD K MAXLEN ~ N A F F", "XADD K NOMKSTREAM A F F", "XADD K MINID I A F F", "XADD K A F F",
	"XLEN K", "XRANGE K R R", "XRANGE K - + COUNT N", "XREVRANGE K R R", "XREVRANGE K + - COUNT N", "XRANGE K I +",
	"XREAD STREAMS K I", "XREAD COUNT N STREAMS K K I I", "XREAD STREAMS K $", "XREAD BLOCK 1 STREAMS K I",
	"XGROUP CREATE K G I", "XGROUP CREATE K G $ MKSTREAM", "XGROUP CREATE K G 0 ENTRIESREAD N", "XGROUP SETID K G I", "XGROUP SETID K G I ENTRIESREAD N", "XGROUP DESTROY K G", "XGROUP CREATECONSUMER K G C", "XGROUP DELCONSUMER K G C",
	"XREADGROUP GROUP G C STREAMS K >", "XREADGROUP GROUP G C COUNT N STREAMS K >", "XREADGROUP GROUP G C COUNT 1 STREAMS K >", "XREADGROUP GROUP G C NOACK STREAMS K >", "XREADGROUP GROUP G C STREAMS K I", "XREADGROUP GROUP G C COUNT 2 STREAMS K 0", "XREADGROUP GROUP G C BLOCK 1 STREAMS K K > >",
	"XREADGROUP GROUP G C STREAMS K >", "XREADGROUP GROUP G C COUNT 2 STREAMS K >",
	"XACK K G I", "XACK K G I I I", "XPENDING K G", "XPENDING K G - + N", "XPENDING K G R R N C", "XPENDING K G IDLE 0 R R N",
	"XCLAIM K G C 0 I I", "XCLAIM K G C 0 I FORCE", "XCLAIM K G C 99999999 I", "XCLAIM K G C 0 I I JUSTID", "XCLAIM K G C 0 I RETRYCOUNT N LASTID I", "XAUTOCLAIM K G C 0 I COUNT N", "XAUTOCLAIM K G C 0 0", "XAUTOCLAIM K G C 0 - JUSTID",
	"XDEL K I", "XDEL K I I", "XTRIM K MAXLEN N", "XTRIM K MINID I", "XTRIM K MAXLEN ~ N", "XSETID K I", "XSETID K A ENTRIESADDED N MAXDELETEDID I",
	"XINFO STREAM K", "XINFO STREAM K FULL", "XINFO GROUPS K", "XINFO CONSUMERS K G", "XINFO STREAM K FULL COUNT 1", "EXISTS K K", "TYPE K", "DEL K",
}

func randomStreamScript(r *rand.Rand) script {
	sc := script{name: "random streams", mask: append([]string{"id", "version"}, streamMask...), steps: []step{"DEL a b x/y"}}
	if r.IntN(2) == 0 {
		sc.steps = append(sc.steps, "HELLO 3")
	}
	added := 0
	for range 80 {
		var raw strings.Builder
		for range 1 + r.IntN(5) {
			request1 := streamRequests[r.IntN(len(streamRequests))]
			if r.IntN(4) == 0 {
				request1 = "XADD K A F F"
			}
			raw.WriteString(request(mangle(r, streamArgs(r, strings.Fields(request1), &added))...))
		}
		sc.steps = append(sc.steps, "!"+step(raw.String()))
	}
	return sc
}

func streamArgs(r *rand.Rand, args []string, added *int) []string {
	pick := func(from ...string) string { return from[r.IntN(len(from))] }
	id := func() string {
		if r.IntN(80) == 0 {
			return pick("18446744073709551615-18446744073709551615", "18446744073709551615", "18446744073709551615-18446744073709551614", "9223372036854775808-0")
		}
		at := max(0, *added-r.IntN(12))
		return pick("0", "5", "2-1", strconv.Itoa(at/3), fmt.Sprintf("%d-%d", at/3, at%3), fmt.Sprintf("%d-%d", at/3, at%3), fmt.Sprintf("%d-%d", at/3, at%3))
	}
	for i := range args {
		switch args[i] {
		case "K":
			args[i] = pick("a", "a", "a", "b", "x/y")
		case "G":
			args[i] = pick("g", "g", "g", "h")
		case "C":
			args[i] = pick("x", "y", "z")
		case "I":
			args[i] = id()
		case "A":
			if r.IntN(10) > 0 {
				*added += 1 + r.IntN(2)
			}
			args[i] = pick(fmt.Sprintf("%d-%d", *added/3, *added%3), fmt.Sprintf("%d-%d", *added/3, *added%3), fmt.Sprintf("%d-%d", *added/3, *added%3), fmt.Sprintf("%d-*", *added/3), strconv.Itoa(*added/3+1))
		case "R":
			args[i] = pick("-", "+", id(), id(), "("+id())
		case "N":
			args[i] = pick("0", "1", "2", "3", "7", "100", "-1", "3", "7", "9223372036854775807", "9223372036854775806", "-9223372036854775808", "9223372036854775808")
		case "F":
			args[i] = pick("f", "g", "data", "", "\xff", "12345")
		}
	}
	return args
}
