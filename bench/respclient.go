package main

import (
	"bytes"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/spate-io/spate/internal/load"
)

// A client is a connection to a server that speaks the Redis protocol.
type client struct {
	conn net.Conn
	in   []byte // what was received and not taken
}

func dial(address string) (*client, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	return &client{conn: conn}, nil
}

func (c *client) close() { _ = c.conn.Close() }

// next returns the next reply, which is good until the call after it. An error of the server is an error.
func (c *client) next() ([]byte, error) {
	for {
		n, err := load.ReplyLength(c.in)
		if err != nil {
			return nil, err
		}
		if n > 0 {
			reply := c.in[:n]
			c.in = c.in[n:]
			if reply[0] == '-' || reply[0] == '!' {
				return nil, fmt.Errorf("the server answered %q", bytes.TrimSpace(reply))
			}
			return reply, nil
		}
		if err := c.receive(); err != nil {
			return nil, err
		}
	}
}

// receive reads once.
func (c *client) receive() error {
	const room = 64 << 10
	if cap(c.in)-len(c.in) < room/2 {
		c.in = append(make([]byte, 0, 2*len(c.in)+room), c.in...)
	}
	n, err := c.conn.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	return err
}

// ask sends one command and returns its reply.
func (c *client) ask(words ...string) ([]byte, error) {
	if _, err := c.conn.Write(load.AppendCommand(nil, words...)); err != nil {
		return nil, err
	}
	reply, err := c.next()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", words[0], err)
	}
	return reply, nil
}

// number sends one command whose reply is a number.
func (c *client) number(words ...string) (int, error) {
	reply, err := c.ask(words...)
	if err != nil {
		return 0, err
	}
	n, err := strconv.Atoi(string(bytes.TrimPrefix(bytes.TrimSpace(reply), []byte(":"))))
	if err != nil {
		return 0, fmt.Errorf("%s was answered with %q, which is no number", words[0], reply)
	}
	return n, nil
}

// length returns how many entries the streams of the first keys have.
func length(address string, keys int) (sum int, err error) {
	c, err := dial(address)
	if err != nil {
		return 0, err
	}
	defer c.close()
	for i := range keys {
		n, err := c.number("XLEN", keyName(i))
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// mark is what the value of an entry begins with; when it was due, in nanoseconds since the beginning, follows in hexadecimal digits.
const (
	mark       = "due:"
	markDigits = 16
)

// appendMarked appends a value of so many bytes.
func appendMarked(b []byte, due time.Duration, size int) []byte {
	b = fmt.Appendf(b, "%s%0*x", mark, markDigits, int64(due))
	return append(b, bytes.Repeat([]byte{'x'}, max(0, size-len(mark)-markDigits))...)
}

// marks calls yield with each mark in a reply, whatever the reply looks like otherwise.
func marks(reply []byte, yield func(due time.Duration)) error {
	for {
		i := bytes.Index(reply, []byte(mark))
		if i < 0 || len(reply) < i+len(mark)+markDigits {
			return nil
		}
		reply = reply[i+len(mark):]
		due, err := strconv.ParseInt(string(reply[:markDigits]), 16, 64)
		if err != nil {
			return fmt.Errorf("a mark that is none was delivered: %w", err)
		}
		yield(time.Duration(due))
	}
}
