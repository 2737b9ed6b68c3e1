package load

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// Echo is a Work that sends messages and wants the same bytes back. Each
// message names its connection and its place in the order, as far as its size
// allows, so that bytes that were mixed up are noticed.
type Echo struct {
	// Size is the length of a message in bytes. Default 64.
	Size int
	// BlockEvery, if positive, marks one message in so many for the server to
	// block on, by a first byte of 1 instead of 0.
	BlockEvery int
}

// Session returns the messages of one connection.
func (e Echo) Session(conn int) Session {
	size := e.Size
	if size <= 0 {
		size = 64
	}
	s := &echoSession{size: size, every: e.BlockEvery, phase: conn}
	s.next, s.want = s.message(conn), s.message(conn)
	s.put(s.next, 0)
	s.put(s.want, 0)
	return s
}

type echoSession struct {
	size, every, phase int
	next, want         []byte // the message to send, and the one due back
	sent, got          uint64
}

// message returns the parts of a message that do not change.
func (s *echoSession) message(conn int) []byte {
	m := make([]byte, max(s.size, 16))
	binary.LittleEndian.PutUint64(m[8:], uint64(conn))
	for i := 16; i < len(m); i++ {
		m[i] = byte('a' + (i+conn)%26)
	}
	return m
}

// put writes the parts that change: the mark and the number.
func (s *echoSession) put(m []byte, seq uint64) {
	binary.LittleEndian.PutUint64(m, seq<<8)
	if s.every > 0 && (seq+uint64(s.phase))%uint64(s.every) == 0 {
		m[0] = 1
	}
}

func (s *echoSession) Append(b []byte) ([]byte, Class) {
	b = append(b, s.next[:s.size]...)
	class := Class(s.next[0])
	s.sent++
	s.put(s.next, s.sent)
	return b, class
}

func (s *echoSession) Reply(b []byte) (int, error) {
	if len(b) < s.size {
		return 0, nil
	}
	if want := s.want[:s.size]; !bytes.Equal(b[:s.size], want) {
		return 0, fmt.Errorf("message %d came back different: %x instead of %x",
			s.got, b[:min(s.size, 32)], want[:min(s.size, 32)])
	}
	s.got++
	s.put(s.want, s.got)
	return s.size, nil
}
