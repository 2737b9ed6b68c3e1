package main

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// progress tells a person at a terminal how far something is that takes longer than a second. It is safe for concurrent use.
type progress struct {
	w    io.Writer // nil if nobody looks
	mu   sync.Mutex
	next time.Time
	wide int
}

// showAfter is how long something takes before anybody is told that it does.
const showAfter = time.Second

func newStatus(w io.Writer) *progress {
	p := &progress{next: time.Now().Add(showAfter)}
	if isTerminal(w) {
		p.w = w
	}
	return p
}

// show shows what text returns, at most five times a second.
func (p *progress) show(text func() string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if p.w == nil || now.Before(p.next) {
		return
	}
	p.next = now.Add(200 * time.Millisecond)
	line := text()
	fmt.Fprintf(p.w, "\r%-*s", p.wide, line)
	p.wide = len(line)
}

// clear removes the line.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wide > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.wide))
		p.wide = 0
	}
}

// end removes the line, and shows none any more.
func (p *progress) end() {
	p.clear()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.w = nil
}

// counted counts what is written through it and shows it.
type counted struct {
	io.Writer
	status *progress
	what   string
	n      uint64
}

// Write implements io.Writer.
func (c *counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.n += uint64(n)
	c.status.show(func() string { return c.what + ": " + size(c.n) })
	return n, err
}
