package resp_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/spate-io/spate/protocol/resp"
)

// The replies of redis-server 7.0.15 to the scripts are kept, so that the comparison is made on machines without it too.
// Record them again with: go test ./protocol/resp -run TestDifferential -record
const recordFile = "testdata/redis-7.0.15.json"

var (
	record = flag.Bool("record", false, "write the replies of redis-server to "+recordFile)
	seed   = flag.Uint64("seed", 1, "of the random requests")
	rounds = flag.Uint64("rounds", 30, "of random requests, half as many of random requests for streams")
)

// side is one of the servers that are compared.
type side struct {
	network, addr string
	alone         func() bool // whether the connections of the script before are gone
	conns         map[int]*client
}

func (s *side) conn(t testing.TB, i int) *client {
	if s.conns == nil {
		s.conns = map[int]*client{}
	}
	if s.conns[i] == nil {
		s.conns[i] = dial(t, s.network, s.addr)
	}
	return s.conns[i]
}

func (s *server) side() *side {
	return &side{network: "unix", addr: s.listener.Addr().String(), alone: func() bool { return s.Stats().Connections == 0 }}
}

func (s *side) hangUp() {
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

// play runs a script and returns, for each step, what the connection received.
func (s *side) play(t testing.TB, sc script) (got [][]string) {
	t.Helper()
	defer s.hangUp()
	eventually(t, "being alone", s.alone)
	for _, step := range sc.steps {
		conn, raw := step.parse()
		replies, closed := s.conn(t, conn).exchange(raw)
		if closed {
			replies = append(replies, "(closed)")
			s.conns[conn].Close()
			delete(s.conns, conn)
		}
		for i := range replies {
			replies[i] = sc.masked(replies[i])
		}
		got = append(got, replies)
	}
	return got
}

// parse takes a step apart: "2> PING" is for the third connection; ASK a "b c" is written as a request; text that begins
// with ! is sent as it is.
func (st step) parse() (conn int, raw string) {
	text := string(st)
	if n, rest, ok := strings.Cut(text, "> "); ok && len(n) == 1 {
		conn, text = int(n[0]-'0'), rest
	}
	if raw, ok := strings.CutPrefix(text, "!"); ok {
		return conn, raw
	}
	return conn, request(split(text)...)
}

// split splits at spaces; a word in double quotes is a Go string.
func split(text string) (words []string) {
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		word := text
		if text[0] == '"' {
			end := strings.Index(text[1:], `"`) + 2
			_, err := fmt.Sscanf(text[:end], "%q", &word)
			if err != nil {
				panic(err)
			}
			words, text = append(words, word), text[end:]
			continue
		}
		word, text, _ = strings.Cut(text, " ")
		words = append(words, word)
	}
	return words
}

// masks take out what differs from run to run.
var masks = map[string]*regexp.Regexp{
	"id":      regexp.MustCompile(`(\$2\r\nid\r\n|^):\d+\r\n`),
	"version": regexp.MustCompile(`\$\d+\r\n7\.\d+\.\d+\r\n`),
	"time":    regexp.MustCompile(`\$\d+\r\n\d+\r\n`),
	"tips":    regexp.MustCompile(`\*[1-9]\r\n(\$\d+\r\n([a-z_]+:[a-z_]+|nondeterministic_output)\r\n)+`),
	"line":    regexp.MustCompile(`(id|addr|laddr|fd|age|idle|qbuf|qbuf-free|obl|oll|argv-mem|rbs|rbp|tot-mem|omem|lib-name|lib-ver)=[^ \n]*`),
	"radix":   regexp.MustCompile(`(?:radix-tree-keys\r\n:\d+|radix-tree-nodes\r\n:\d+)`),
	"idle":    regexp.MustCompile(`\$4\r\nidle\r\n:\d+`),
	"pending": regexp.MustCompile(`:\d+\r\n:`), // how long ago, and how often
	"clock":   regexp.MustCompile(`:\d{12,}`),
	"length":  regexp.MustCompile(`^[$=]\d+\r\n`),
}

func (sc script) masked(reply string) string {
	for _, name := range sc.mask {
		with := "<" + name + ">"
		if name == "tips" {
			with = "*0\r\n"
		}
		reply = masks[name].ReplaceAllString(reply, with)
	}
	if sc.lines { // the fields that Redis 7.0 does not have yet
		reply = strings.ReplaceAll(reply, " <line> <line>\n", "\n")
	}
	return reply
}

// redis starts redis-server on a Unix socket, or returns nil where it is not installed. CI installs it.
func redis(t testing.TB, args ...string) *side {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("redis-server is not installed")
		}
		return nil
	}
	dir, err := os.MkdirTemp("", "resp") // t.TempDir is too long for a socket's name on some systems
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.Command(path, append([]string{
		"--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no", "--dir", dir, "--loglevel", "warning", "--logfile", "log",
	}, args...)...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		_ = os.RemoveAll(dir)
	})
	eventually(t, "redis-server", func() bool {
		c, err := net.Dial("unix", socket)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	return &side{network: "unix", addr: socket, alone: func() bool {
		c := dial(t, "unix", socket)
		defer c.Close()
		c.ask("AUTH " + password) // where there is one
		return strings.Count(c.ask("CLIENT LIST"), "\n") == 3
	}}
}

// A group of scripts is played with servers that are configured alike.
type group struct {
	redis   []string
	options func(t testing.TB) resp.Options
	scripts []script
}

func groups() []group {
	return []group{
		{options: func(testing.TB) resp.Options { return resp.Options{} }, scripts: scripts()},
		{options: durable, scripts: streamScripts()},
		{
			redis: strings.Fields("--requirepass " + password + " --user joe on >" + password + " allkeys &foo/* +@all -@admin -@dangerous" +
				" --user eve on >" + password + " allkeys resetchannels +@all -@admin -@dangerous"),
			options: func(t testing.TB) resp.Options { return resp.Options{Auth: people(t)} },
			scripts: guestScripts(),
		},
	}
}

// TestDifferential plays the scripts against Spate, with each driver, and compares with what Redis replied when it was
// recorded, and replies now if it is installed.
func TestDifferential(t *testing.T) {
	recorded := transcript{}
	if text, err := os.ReadFile(recordFile); err == nil && !*record {
		if err := json.Unmarshal(text, &recorded); err != nil {
			t.Fatal(err)
		}
	}
	now := transcript{}
	for _, group := range groups() {
		live := redis(t, group.redis...)
		if live == nil {
			now = recorded
			break
		}
		for _, sc := range group.scripts {
			now[sc.name] = quoted(live.play(t, sc))
			if !*record {
				compare(t, "Redis now", now[sc.name], sc, recorded[sc.name])
			}
		}
	}
	if *record {
		write(t, now)
	}
	eachDriver(t, func(t *testing.T, driver string) {
		for _, group := range groups() {
			s := serveUnix(t, driver, group.options(t))
			ours := s.side()
			for _, sc := range group.scripts {
				compare(t, "Spate", quoted(ours.play(t, sc)), sc, now[sc.name])
			}
		}
	})
}

// transcript is what each step of each script received, quoted because JSON would change bytes that are not UTF-8.
type transcript map[string][]string

func quoted(replies [][]string) (lines []string) {
	for _, r := range replies {
		lines = append(lines, fmt.Sprintf("%q", r))
	}
	return lines
}

func write(t *testing.T, recorded transcript) {
	t.Helper()
	text, err := json.MarshalIndent(recorded, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll("testdata", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(recordFile, append(text, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, who string, got []string, sc script, want []string) {
	t.Helper()
	if want == nil {
		t.Errorf("%s: not recorded", sc.name)
		return
	}
	for i, step := range sc.steps {
		if got[i] != want[i] {
			t.Errorf("%s, step %d, %.200q\n  %s: %s\n  Redis: %s", sc.name, i, string(step), who, got[i], want[i])
		}
	}
}

// TestDifferentialRandom sends the same random requests to both.
func TestDifferentialRandom(t *testing.T) {
	live := redis(t)
	if live == nil {
		t.Log("redis-server is not installed: nothing was compared but what TestDifferential has recorded")
		return
	}
	eachDriver(t, func(t *testing.T, driver string) {
		s := serveUnix(t, driver, resp.Options{})
		ours := s.side()
		for round := range *rounds {
			sc := randomScript(rand.New(rand.NewPCG(*seed, round)))
			compare(t, fmt.Sprintf("Spate, seed %d, round %d,", *seed, round), quoted(ours.play(t, sc)), sc, quoted(live.play(t, sc)))
		}
		for name, options := range map[string]func(testing.TB) resp.Options{"streams": durable, "one stream": sharing} {
			ours = serveUnix(t, driver, options(t)).side()
			for round := range *rounds / 2 {
				sc := randomStreamScript(rand.New(rand.NewPCG(*seed, round)))
				compare(t, fmt.Sprintf("Spate, %s, seed %d, round %d,", name, *seed, round), quoted(ours.play(t, sc)), sc, quoted(live.play(t, sc)))
			}
		}
	})
}
