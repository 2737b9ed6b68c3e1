package resp_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// A script is requests on one or more connections, in order.
type script struct {
	name  string
	steps []step
	mask  []string
	lines bool // the lines of CLIENT LIST
}

// A step is what one connection sends; see step.parse.
type step string

func scripts() []script {
	all := []script{
		{name: "ping", steps: []step{"PING", "ping", "PiNg", "PING hello", `PING ""`, "PING a b", "!PING\r\n", "!ping x\r\n", "!  PING \t x  \r\n", "!PING\n"}},
		{name: "echo", steps: []step{"ECHO x", `ECHO ""`, "ECHO", "ECHO a b", `ECHO "a\r\nb\x00\xff"`, "ECHO " + step(strings.Repeat("x", 20000))}},
		{name: "select", steps: []step{"SELECT 0", "SELECT 15", "SELECT 16", "SELECT -1", "SELECT x", "SELECT 1.0", "SELECT 01", "SELECT +1",
			"SELECT", "SELECT 0 0", "SELECT 99999999999", "SELECT -0", `SELECT " 1"`}},
		{name: "quit", steps: []step{"QUIT", "QUIT now", "!QUIT\r\nPING\r\n", "!PING\r\nQUIT\r\nPING\r\n"}},
		{name: "reset", steps: []step{"RESET", "RESET x", "CLIENT SETNAME a", "RESET", "CLIENT GETNAME"}},
		{name: "time", mask: []string{"time"}, steps: []step{"TIME", "TIME x"}},
		{name: "auth", steps: []step{"AUTH x", "AUTH default x", "AUTH nobody x", "AUTH", "AUTH a b c", `AUTH "" x`, "ACL WHOAMI", "ACL WHOAMI x", "ACL NOSUCH", "ACL"}},
		{name: "unknown", steps: []step{"NOSUCH", "nosuch a b", "NoSuch " + step(strings.Repeat("x", 200)) + " y",
			"NOSUCH " + step(strings.Repeat("arg ", 60)), step(strings.Repeat("n", 300)), `""`, `"a\r\nb" "c\r\nd"`, `"a\x00b" "c\x00d"`,
			"CLIENT NOSUCH", "client nosuch x", "CONFIG NOSUCH", "PUBSUB NOSUCH", "COMMAND NOSUCH", "PING|x", "CLIENT|LIST",
			`CLIENT "a\r\nb"`, `CLIENT ` + step(strings.Repeat("x", 200))}},
		{name: "arity", steps: []step{"CLIENT", "CLIENT ID x", "CLIENT GETNAME x", "CLIENT SETNAME", "CLIENT SETNAME a b", "CLIENT KILL", "CLIENT INFO x",
			"COMMAND COUNT x", "CONFIG", "CONFIG GET", "PUBSUB", "PUBSUB NUMPAT x", "PUBLISH", "PUBLISH a", "PUBLISH a b c", "SUBSCRIBE", "PSUBSCRIBE"}},
		{name: "hello", mask: []string{"id", "version"}, steps: []step{"HELLO", "HELLO 2", "HELLO 3", "HELLO", "PING", "CLIENT GETNAME", "HELLO 4", "HELLO 1", "HELLO x",
			"HELLO 3 x", "HELLO 3 AUTH a", "HELLO 3 AUTH a b", "HELLO 3 AUTH default b", "HELLO 3 SETNAME", "HELLO 3 SETNAME bob", "CLIENT GETNAME",
			`HELLO 3 SETNAME "a b"`, "hello 3 setname y auth default z", "CLIENT GETNAME",
			`HELLO 3 SETNAME ""`, "CLIENT GETNAME", "HELLO 2 SETNAME z", "CLIENT GETNAME", "HELLO 2.0", "HELLO 99999999999999999999"}},
		{name: "hello changes a guest", mask: []string{"id", "version"}, steps: []step{"HELLO 3", "RESET", "CLIENT GETNAME"}},
		{name: "client id", mask: []string{"id"}, steps: []step{"CLIENT ID", "client id"}},
		{name: "client name", steps: []step{"CLIENT GETNAME", "CLIENT SETNAME bob", "CLIENT GETNAME", `CLIENT SETNAME "a b"`, `CLIENT SETNAME "a\nb"`, `CLIENT SETNAME "ä"`,
			"CLIENT GETNAME", `CLIENT SETNAME ""`, "CLIENT GETNAME"}},
		{name: "client list", lines: true, mask: []string{"line", "length"}, steps: []step{"CLIENT LIST", "CLIENT INFO", "CLIENT SETNAME bob", "SELECT 3", "CLIENT LIST",
			"1> SUBSCRIBE a b", "1> PSUBSCRIBE c*", "CLIENT LIST TYPE pubsub", "CLIENT LIST TYPE normal", "CLIENT LIST TYPE NORMAL", "CLIENT LIST TYPE replica",
			"CLIENT LIST TYPE master", "CLIENT LIST TYPE x", "CLIENT LIST TYPE", "CLIENT LIST x", "CLIENT LIST ID", "CLIENT LIST ID x", "CLIENT LIST ID 0", "CLIENT LIST ID 999999 888888",
			"1> QUIT"}},
		{name: "client kill", mask: []string{"id"}, steps: []step{"CLIENT KILL a", "CLIENT KILL 1.2.3.4:5", "CLIENT KILL ID 0", "CLIENT KILL ID x", "CLIENT KILL ID -1", "CLIENT KILL ID 999999", "CLIENT KILL TYPE x",
			"CLIENT KILL TYPE master", "CLIENT KILL TYPE replica", "CLIENT KILL TYPE slave", "CLIENT KILL USER nobody", "CLIENT KILL SKIPME x ID 1", "CLIENT KILL SKIPME",
			"CLIENT KILL FOO bar", "CLIENT KILL ID 1 FOO", "CLIENT KILL ID 1 FOO bar", "CLIENT KILL ADDR 1.2.3.4:5", "CLIENT KILL LADDR 1.2.3.4:5", "CLIENT KILL ADDR x SKIPME no",
			"1> SUBSCRIBE a", "CLIENT KILL TYPE pubsub", "1> PING", "CLIENT KILL TYPE normal", "CLIENT KILL USER default", "PING",
			"1> PING", "CLIENT KILL TYPE normal SKIPME yes", "1> PING", "CLIENT KILL TYPE normal SKIPME no", "CLIENT KILL USER default SKIPME no"}},
		{name: "command", mask: []string{"tips", "id", "version"}, steps: []step{"COMMAND INFO ping", "COMMAND INFO nosuch ECHO", "COMMAND INFO publish subscribe client|list", "COMMAND INFO client|nosuch nosuch|x ping|x",
			"COMMAND INFO quit auth hello time select", "COMMAND LIST x", "COMMAND LIST FILTERBY x y", "COMMAND LIST FILTERBY", "COMMAND LIST FILTERBY PATTERN nosuch*", "COMMAND LIST FILTERBY MODULE x",
			"COMMAND LIST FILTERBY PATTERN PUBL*", "COMMAND LIST FILTERBY PATTERN client|getna*", "COMMAND DOCS nosuch", "COMMAND DOCS ping ECHO", "1> HELLO 3", "1> COMMAND DOCS ping", "COMMAND INFO post host:", "1> HELLO 3", "1> COMMAND INFO echo nosuch", "1> COMMAND LIST FILTERBY PATTERN echo"}},
		{name: "config", steps: []step{"CONFIG GET save", "CONFIG GET appendonly", "CONFIG GET SAVE", "CONFIG GET nosuch", "CONFIG GET nosuch databases", "CONFIG GET maxmemory", "CONFIG GET data*s"}},
		{name: "info", steps: []step{"INFO nosuch", "INFO modules"}},
		{name: "pubsub", steps: []step{"SUBSCRIBE a b a", "PING", "PING x", "PING x y", "ECHO x", "CLIENT LIST", "NOSUCH", "SUBSCRIBE", "1> PUBLISH a x", `1> PUBLISH b "y\r\nz"`, "1> PUBLISH c z", "PING",
			"1> PUBSUB NUMSUB a b c", "1> PUBSUB NUMSUB", "1> PUBSUB NUMPAT", "1> PUBSUB CHANNELS a*", "1> PUBSUB CHANNELS x", "1> PUBSUB CHANNELS a b",
			"UNSUBSCRIBE b", "UNSUBSCRIBE b nosuch", "1> PUBLISH b x", "PING", "UNSUBSCRIBE", "UNSUBSCRIBE", "PING", "PUNSUBSCRIBE", "1> PUBLISH a x", "1> PUBSUB CHANNELS"}},
		{name: "patterns", steps: []step{"PSUBSCRIBE a* b?", "SUBSCRIBE ab", "1> PUBLISH ab x", "PING", "1> PUBLISH abc y", "PING", "1> PUBSUB NUMPAT", "1> PUBSUB CHANNELS", "1> PSUBSCRIBE a*", "2> PUBSUB NUMPAT",
			"2> PUBLISH abcd z", "1> PING", "PING", "PUNSUBSCRIBE a* nosuch", "PUNSUBSCRIBE", "UNSUBSCRIBE", "PING", "1> RESET", "2> PUBSUB NUMPAT",
			`PSUBSCRIBE [a-c]x \*y "h[^e]llo"`, "1> PUBLISH bx 1", "1> PUBLISH *y 2", "1> PUBLISH xy 3", "1> PUBLISH hallo 4", "1> PUBLISH hello 5", "PING"}},
		{name: "pubsub 3", mask: []string{"version", "id"}, steps: []step{"HELLO 3", "SUBSCRIBE a", "PSUBSCRIBE a*", "PUBLISH a x", "!PING\r\nPUBLISH a y\r\nPING\r\n", "PING x", "ECHO x", "PUBSUB NUMSUB a", "UNSUBSCRIBE a nosuch",
			"UNSUBSCRIBE", "PUNSUBSCRIBE", "UNSUBSCRIBE", "PUBLISH a z", "SUBSCRIBE a", "HELLO 2", "1> PUBLISH a old", "PING", "UNSUBSCRIBE", "PING", "1> HELLO 3", "1> PUBSUB NUMSUB a b"}},
		{name: "subscriber is reset", steps: []step{"SUBSCRIBE a", "PSUBSCRIBE b*", "RESET", "PING", "1> PUBLISH a x", "1> PUBSUB NUMPAT", "PING"}},
		{name: "subscriber quits", steps: []step{"SUBSCRIBE a", "QUIT", "1> PUBSUB NUMSUB b"}},
		{name: "pipeline", steps: []step{"!" + step(strings.Repeat("PING\r\n", 100)), "!" + step(strings.Repeat(request("ECHO", "x"), 1000)), "!PING\r\n" + step(request("ECHO", "x")) + "PING\r\n"}},
	}
	return append(all, malformed()...)
}

// guestScripts begin without being logged in.
func guestScripts() (all []script) {
	p := step(password)
	all = []script{
		{name: "guest", steps: []step{"PING", "ECHO x", "NOSUCH a", "CLIENT NOSUCH", "CLIENT ID", "PING a b c", "ECHO", "CLIENT", "SUBSCRIBE a", "PUBLISH a b", "INFO", "COMMAND", "ACL WHOAMI", "RESET", "PING",
			"HELLO", "HELLO 3", "HELLO 3 SETNAME x", "HELLO 4", "HELLO x", "AUTH", "AUTH a b c", "PING", "QUIT", "PING"}},
		{name: "log in", mask: []string{"id", "version"}, steps: []step{"AUTH x", "AUTH default x", "AUTH nobody x", "PING", "AUTH " + p, "PING", "ACL WHOAMI", "AUTH x", "PING", "ACL WHOAMI", "AUTH joe " + p, "ACL WHOAMI",
			"RESET", "PING", "HELLO 3 AUTH joe x", "PING", "HELLO 3 AUTH joe " + p + " SETNAME bob", "ACL WHOAMI", "CLIENT GETNAME", "auth default " + p, "ACL WHOAMI", `AUTH ""`, `AUTH "" ""`}},
		{name: "rights", steps: []step{"AUTH joe " + p, "PING", "PUBLISH foo/a x", "PUBLISH bar x", "SUBSCRIBE bar", "SUBSCRIBE foo/a bar", "PSUBSCRIBE *", "PSUBSCRIBE b*", "CLIENT LIST", "CLIENT KILL ID 5", "CONFIG GET save",
			"CLIENT ID x", "CLIENT GETNAME", "SUBSCRIBE foo/a", "CLIENT LIST", "PSUBSCRIBE foo/*", "1> AUTH " + p, "1> PUBLISH foo/b x", "PING", "1> CLIENT LIST TYPE master"}},
		{name: "no rights", steps: []step{"AUTH eve " + p, "PING", "PUBLISH foo/a x", "SUBSCRIBE foo/a", "PSUBSCRIBE foo/*", "PING"}},
	}
	for i, raw := range []string{
		"*11\r\n", "*10\r\n" + strings.Repeat("$1\r\na\r\n", 10), "*1\r\n$16385\r\n", request("ECHO", strings.Repeat("x", 16384)), "*2\r\n$4\r\nAUTH\r\n$16385\r\n", "*99999999999\r\n", "*1\r\n$-1\r\n",
		"PING a b c d e f g h i j k l m\r\n", request("AUTH", password) + request("ECHO", strings.Repeat("x", 16385)),
	} {
		all = append(all, script{name: fmt.Sprintf("guest malformed %d %.20q", i, raw), steps: []step{"!" + step(raw), "1> PING"}})
	}
	return all
}

// malformed are streams that are not requests, each on a connection of its own because Redis closes it.
func malformed() (all []script) {
	for i, raw := range []string{
		"*x\r\n", "*\r\n", "*1048577000000\r\n", "*2147483648\r\n", "*01\r\n", "*+1\r\n", "*-0\r\n", "*1 \r\n", "* 1\r\n", "*9223372036854775808\r\n", "*-9223372036854775809\r\n",
		"*1\r\n:4\r\n", "*1\r\n\r\n", "*1\r\nPING\r\n", "*1\r\n\x01\r\n", "*1\r\n\xff\r\n", "*1\r\n$-1\r\n", "*1\r\n$4x\r\n", "*1\r\n$\r\n", "*1\r\n$04\r\n",
		"*1\r\n$99999999999\r\n", "*1\r\n$18446744073709551616\r\n", "*2\r\n$4\r\nECHO\r\n$-5\r\n", "*2\r\n$4\r\nECHO\r\nx\r\n",
		"*0\r\n", "*-1\r\n", "*-5\r\nPING\r\n", "\r\n", "\n\n\n", " \r\n", "*0\r\n*0\r\nPING\r\n", "*1\rx$4\ryPINGzz",
		"'\r\n", "\"\r\n", "PING '\r\n", "ECHO 'a'b\r\n", "ECHO \"a\"b\r\n", "ECHO a\"b c\"\r\n", "ECHO 'a b'\r\n", `ECHO "\x41\n\r\t\a\b\\\"\q\xZZ"` + "\r\n", `ECHO 'a\'b\n'` + "\r\n",
		"ECHO \"\"\r\n", "ECHO ''\r\n", "\"ECHO\" 'x'\r\n", "ECHO a\rb\r\n", "ECHO \va\f\r\n", "ECHO a\vb\r\n", "ECHO \xff\xfe\r\n", "PING\r\r\n",
		"*1\r\n$4\r\nPING\r\n*x\r\n", "PING\r\n*1\r\nx\r\n",
		"*" + strings.Repeat("1", 70000), "*1\r\n$" + strings.Repeat("1", 70000), strings.Repeat("x", 70000),
		"POST / HTTP/1.1\r\nHost: localhost\r\n\r\n", "*1\r\n$5\r\nHost:\r\n",
	} {
		all = append(all, script{name: fmt.Sprintf("malformed %02d %.30q", i, raw), steps: []step{"!" + step(raw), "1> PING"}})
	}
	return all
}

// randomRequests are templates: W is a word that is a channel too, G a pattern.
var randomRequests = strings.Split(`PING|PING W|ECHO W|PUBLISH W W|PUBLISH W W|PUBLISH W W|SUBSCRIBE W|SUBSCRIBE W W|UNSUBSCRIBE W|UNSUBSCRIBE W W|PSUBSCRIBE G|
PUNSUBSCRIBE G|PUNSUBSCRIBE G W|PUBSUB NUMSUB W W|PUBSUB NUMPAT|PUBSUB CHANNELS nosuch*|HELLO 2|HELLO 3|HELLO 3 SETNAME W|HELLO W|RESET|QUIT|SELECT 3|SELECT W|
CLIENT SETNAME W|CLIENT GETNAME|CLIENT INFO|CLIENT KILL ID 0|CLIENT KILL W|CLIENT W|CONFIG GET W|CONFIG GET save|COMMAND INFO W|AUTH W|AUTH W W|ACL WHOAMI|NOSUCH W|W W`, "|")

// randomScript makes requests of parts that Redis and Spate should agree about: a few connections publish, subscribe,
// change the version and make mistakes. At most one pattern matches a word, since Redis delivers for several in
// the order of a hash table.
func randomScript(r *rand.Rand) script {
	sc := script{name: "random", mask: []string{"id", "version", "line", "length"}, lines: true}
	words, globs := []string{"a1", "a22", "b1", "b/2", "c", "ä"}, []string{"a*", "b[/1-9]*", "\\c", "[^abc]*"}
	for range 60 {
		var raw strings.Builder
		for range 1 + r.IntN(4) {
			args := strings.Fields(randomRequests[r.IntN(len(randomRequests))])
			for i := range args {
				switch args[i] {
				case "W":
					args[i] = words[r.IntN(len(words))]
				case "G":
					args[i] = globs[r.IntN(len(globs))]
				}
			}
			raw.WriteString(request(mangle(r, args)...))
		}
		sc.steps = append(sc.steps, step(fmt.Sprintf("%d> !%s", r.IntN(3), raw.String())))
	}
	return sc
}

// mangle makes a mistake now and then, and changes the case of the command.
func mangle(r *rand.Rand, args []string) []string {
	switch r.IntN(20) {
	case 0:
		// Without an argument some would be about all, in no order that is defined.
		if len(args) > 1 && !strings.HasSuffix(args[0], "SUBSCRIBE") && args[0] != "COMMAND" && args[0] != "PUBSUB" {
			return args[:len(args)-1]
		}
	case 1:
		if len(args) < 4 { // Redis 7.0 takes the name of a HELLO that it refuses for something behind it
			return append(args, "x")
		}
	case 2, 3, 4:
		args[0] = strings.ToLower(args[0])
	}
	return args
}
