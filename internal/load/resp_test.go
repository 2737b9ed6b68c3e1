package load

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// redis answers each command of one connection with what answer returns.
func redis(answer func(words []string) string) func(net.Conn) {
	return func(c net.Conn) {
		in := bufio.NewReader(c)
		for {
			var n, size int
			if line, err := in.Peek(6); err == nil && string(line) == "PING\r\n" {
				_, _ = in.Discard(len(line))
				_, _ = c.Write([]byte(answer([]string{"PING"})))
				continue
			}
			if _, err := fmt.Fscanf(in, "*%d\r\n", &n); err != nil {
				return
			}
			words := make([]string, n)
			for i := range words {
				if _, err := fmt.Fscanf(in, "$%d\r\n", &size); err != nil {
					return
				}
				buf := make([]byte, size+2)
				for got := 0; got < len(buf); {
					m, err := in.Read(buf[got:])
					if err != nil {
						return
					}
					got += m
				}
				words[i] = string(buf[:size])
			}
			if _, err := c.Write([]byte(answer(words))); err != nil {
				return
			}
		}
	}
}

func TestRESP(t *testing.T) {
	address := serve(t, nil, redis(func(words []string) string {
		switch words[0] {
		case "PING":
			return "+PONG\r\n"
		case "ECHO":
			return fmt.Sprintf("$%d\r\n%s\r\n", len(words[1]), words[1])
		case "AUTH":
			if words[1] == "secret" {
				return "+OK\r\n"
			}
			return "-WRONGPASS no\r\n"
		case "WRONG":
			return "$1\r\nx\r\n"
		case "LIST":
			return "*2\r\n$1\r\na\r\n%1\r\n+k\r\n:1\r\n"
		}
		return "-ERR unknown command\r\n"
	}))
	for _, c := range []struct {
		name     string
		work     RESP
		password string
		fails    string
	}{
		{"ping", RESP{Command: []string{"PING"}}, "", ""},
		{"inline", RESP{Command: []string{"PING"}, Inline: true}, "", ""},
		{"echo", RESP{Command: []string{"ECHO", "{}"}, Size: 1000}, "", ""},
		{"list", RESP{Command: []string{"LIST"}}, "", ""},
		{"authenticated", RESP{Command: []string{"PING"}}, "secret", ""},
		{"unknown", RESP{Command: []string{"NONSENSE"}}, "", "unknown command"},
		{"another reply", RESP{Command: []string{"PING", "{}"}}, "", "instead of"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := mustRun(t, Options{
				Address: address, Work: c.work, Conns: 3, Pipeline: 3, Duration: 50 * time.Millisecond,
				Prepare: func(_ int, nc net.Conn) error {
					if c.password == "" {
						return nil
					}
					return Ask(nc, []string{"AUTH", c.password})
				},
			})
			if c.fails == "" && (r.Errors != 0 || r.Requests == 0) {
				t.Errorf("%d requests, %d errors, first %v", r.Requests, r.Errors, r.FirstError)
			}
			if c.fails != "" && (r.Requests != 0 || r.Errors < 6 || !strings.Contains(r.FirstError.Error(), c.fails)) {
				t.Errorf("%d requests, %d errors, first %v", r.Requests, r.Errors, r.FirstError)
			}
		})
	}
	_, err := Run(t.Context(), Options{
		Address: address, Work: RESP{Command: []string{"PING"}},
		Prepare: func(_ int, c net.Conn) error { return Ask(c, []string{"AUTH", "wrong"}) },
	})
	if err == nil || !strings.Contains(err.Error(), "WRONGPASS") {
		t.Errorf("error %v", err)
	}
}

func TestReplyLength(t *testing.T) {
	for _, reply := range []string{
		"+OK\r\n", "-ERR no\r\n", ":1\r\n", "$5\r\nhello\r\n", "$0\r\n\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n",
		"*2\r\n$1\r\na\r\n:5\r\n", "*2\r\n*1\r\n+a\r\n*0\r\n", "%1\r\n+k\r\n$2\r\n\r\n\r\n", "~1\r\n:1\r\n",
		">2\r\n+a\r\n+b\r\n", "|1\r\n+a\r\n+b\r\n:1\r\n", "_\r\n", "#t\r\n", ",1.5\r\n", "(123\r\n", "=5\r\ntxt:a\r\n", "!3\r\nERR\r\n",
	} {
		for n := range len(reply) {
			if got, err := ReplyLength([]byte(reply[:n])); got != 0 || err != nil {
				t.Errorf("%q: %d, %v before it is complete", reply[:n], got, err)
			}
		}
		if got, err := ReplyLength([]byte(reply + "+more")); got != len(reply) || err != nil {
			t.Errorf("%q: %d, %v, want %d", reply, got, err, len(reply))
		}
	}
	for reply, want := range map[string]error{
		"hello\r\n": errNotRESP, "+a\n": errNotRESP, "\n": errNotRESP, "$x\r\n": errNotRESP, "*\r\n": errNotRESP,
		"$99999999999\r\n": errLongCount, "*1\r\nhello\r\n": errNotRESP, "$99999999999999999999\r\n": errNotRESP,
	} {
		if n, err := ReplyLength([]byte(reply)); n != 0 || !errors.Is(err, want) {
			t.Errorf("%q: %d, %v, want %v", reply, n, err, want)
		}
	}
}

func FuzzReplyLength(f *testing.F) {
	f.Add([]byte("*2\r\n$1\r\na\r\n%1\r\n+k\r\n:1\r\n"))
	f.Add([]byte("|1\r\n+a\r\n+b\r\n=5\r\ntxt:a\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := ReplyLength(b)
		if n < 0 || n > len(b) || err != nil && n != 0 {
			t.Fatalf("length %d of %d, %v", n, len(b), err)
		}
		for short := range n {
			if m, err := ReplyLength(b[:short]); m != 0 || err != nil {
				t.Fatalf("complete at %d, %v, and at %d", m, err, n)
			}
		}
	})
}
