package load

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
)

// RESP is a Work that sends one command of the Redis protocol over and over.
// A reply that is an error is counted as one, and the connection goes on.
type RESP struct {
	// Command is the command with its arguments, of which those that are "{}"
	// stand for a payload.
	Command []string
	// Size is the length of the payload in bytes. Default 64.
	Size int
	// Inline sends the command as a line of words, as a person would type it.
	Inline bool
}

// Session returns the requests of one connection.
func (r RESP) Session(int) Session {
	payload := r.payload()
	var words []string
	for _, w := range r.Command {
		words = append(words, strings.ReplaceAll(w, "{}", payload))
	}
	s := &respSession{request: AppendCommand(nil, words...)}
	if r.Inline {
		s.request = []byte(strings.Join(words, " ") + "\r\n")
	}
	// PING and ECHO are the two commands whose reply is known beforehand.
	if len(words) == 2 && (strings.EqualFold(words[0], "ping") || strings.EqualFold(words[0], "echo")) {
		s.want = fmt.Appendf(nil, "$%d\r\n%s\r\n", len(words[1]), words[1])
	} else if len(words) == 1 && strings.EqualFold(words[0], "ping") {
		s.want = []byte("+PONG\r\n")
	}
	return s
}

func (r RESP) payload() string {
	size := r.Size
	if size <= 0 {
		size = 64
	}
	return strings.Repeat("abcdefghijklmnopqrstuvwxyz", size/26+1)[:size]
}

// AppendCommand appends a command as an array of bulk strings.
func AppendCommand(b []byte, words ...string) []byte {
	b = fmt.Appendf(b, "*%d\r\n", len(words))
	for _, w := range words {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(w), w)
	}
	return b
}

type respSession struct {
	request, want []byte
}

func (s *respSession) Append(b []byte) ([]byte, Class) { return append(b, s.request...), Ordinary }

func (s *respSession) Reply(b []byte) (int, error) {
	if len(s.want) > 0 && bytes.HasPrefix(b, s.want) {
		return len(s.want), nil
	}
	n, err := ReplyLength(b)
	if n == 0 || err != nil {
		return 0, err
	}
	switch reply := b[:n]; {
	case reply[0] == '-' || reply[0] == '!':
		return n, fmt.Errorf("the server answered %q", shorten(reply))
	case len(s.want) > 0:
		return n, fmt.Errorf("the server answered %q instead of %q", shorten(reply), shorten(s.want))
	}
	return n, nil
}

func shorten(b []byte) []byte { return bytes.TrimRight(b[:min(len(b), 80)], "\r\n") }

// The errors of replies that are not RESP.
var (
	errNotRESP   = errors.New("the reply is not RESP")
	errLongCount = fmt.Errorf("the reply has a count above %d", MaxReply)
)

// The first bytes of values: of those that are one line, and of all.
const (
	lines = "+-:,(#_"
	kinds = lines + "$!=*~>%|"
)

// ReplyLength returns the length of the reply of RESP2 or RESP3 at the head of
// b, or zero if it is not complete.
func ReplyLength(b []byte) (int, error) {
	at := 0
	for left := 1; left > 0; left-- {
		if at < len(b) && strings.IndexByte(kinds, b[at]) < 0 {
			return 0, fmt.Errorf("%w: a value begins with %q", errNotRESP, b[at])
		}
		end := bytes.IndexByte(b[at:], '\n')
		if end < 0 {
			return 0, nil
		}
		line := b[at : at+end+1]
		at += end + 1
		if len(line) < 3 || line[end-1] != '\r' {
			return 0, errNotRESP
		}
		bulk, more, err := header(line[0], line[1:end-1])
		if err != nil {
			return 0, err
		}
		left += more
		at += bulk
		if at > len(b) {
			return 0, nil
		}
	}
	return at, nil
}

// header returns how many bytes and how many further values follow the first
// line of a value.
func header(kind byte, line []byte) (bulk, more int, err error) {
	if strings.IndexByte(lines, kind) >= 0 {
		return 0, 0, nil
	}
	n, err := strconv.Atoi(string(line))
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("%w: its count is %q", errNotRESP, shorten(line))
	case n > MaxReply:
		return 0, 0, errLongCount
	case n < 0:
		return 0, 0, nil // null
	}
	switch kind {
	case '$', '!', '=':
		return n + 2, 0, nil
	case '%':
		return 0, 2 * n, nil
	case '|':
		return 0, 2*n + 1, nil // attributes, and the value that they describe
	}
	return 0, n, nil
}

// Ask sends commands on a connection that nothing else uses, one after the
// other, and returns an error if one is answered with an error. Options.Prepare
// authenticates with it.
func Ask(c net.Conn, commands ...[]string) error {
	var in [512]byte
	for _, words := range commands {
		if _, err := c.Write(AppendCommand(nil, words...)); err != nil {
			return err
		}
		var reply []byte
		for n := 0; n == 0; {
			got, err := c.Read(in[:])
			if err != nil {
				return fmt.Errorf("waiting for the reply to %s: %w", words[0], err)
			}
			reply = append(reply, in[:got]...)
			if n, err = ReplyLength(reply); err != nil {
				return fmt.Errorf("in the reply to %s: %w", words[0], err)
			}
		}
		if slices.Contains([]byte("-!"), reply[0]) {
			return fmt.Errorf("%s: the server answered %q", words[0], shorten(reply))
		}
	}
	return nil
}
