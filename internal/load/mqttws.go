package load

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
)

// The key of a WebSocket's handshake, and what must answer it: those of RFC 6455, section 1.3. Nothing between bench
// and the server caches answers, so the same key does for all connections.
const (
	webSocketKey    = "dGhlIHNhbXBsZSBub25jZQ=="
	webSocketAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// The opcodes of frames (RFC 6455, section 5.2).
const (
	frameContinuation = 0
	frameBinary       = 2
	frameClose        = 8
	framePing         = 9
	framePong         = 10
)

// maxUpgradeReply bounds the head of the reply to a handshake.
const maxUpgradeReply = 16 << 10

var (
	errNotUpgraded   = errors.New("the server did not change to a WebSocket that speaks mqtt")
	errNotWebSocket  = errors.New("what came is no frame of a WebSocket that carries MQTT")
	errFrameTooLong  = fmt.Errorf("a frame of the WebSocket is longer than %d bytes", MaxReply)
	errClosedByFrame = errors.New("the server closed the WebSocket")
)

// upgradeRequest asks for a WebSocket that speaks MQTT.
func upgradeRequest(b []byte, host, path string) []byte {
	return fmt.Appendf(b, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Key: %s\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", path, host, webSocketKey)
}

// upgraded checks the reply at the head of b and returns its length, or zero if it is not complete.
func upgraded(b []byte) (int, error) {
	end := bytes.Index(b, []byte("\r\n\r\n"))
	if end < 0 {
		if len(b) > maxUpgradeReply {
			return 0, errNotUpgraded
		}
		return 0, nil
	}
	end += 4
	reply, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b[:end])), nil)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNotUpgraded, err)
	}
	_ = reply.Body.Close()
	h := reply.Header
	if reply.StatusCode != http.StatusSwitchingProtocols || h.Get("Sec-WebSocket-Accept") != webSocketAccept || h.Get("Sec-WebSocket-Protocol") != "mqtt" {
		return 0, fmt.Errorf("%w: it answered %q", errNotUpgraded, reply.Status)
	}
	return end, nil
}

// frameMask is the key with which every frame is masked. A browser must choose another for each; here only the server's work counts.
var frameMask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// frame makes what stands in b from start on the payload of a masked frame.
func frame(b []byte, start int, opcode byte) []byte {
	n := len(b) - start
	var head [14]byte
	h := append(head[:0], 0x80|opcode)
	switch {
	case n < 126:
		h = append(h, 0x80|byte(n))
	case n < 1<<16:
		h = binary.BigEndian.AppendUint16(append(h, 0x80|126), uint16(n))
	default:
		h = binary.BigEndian.AppendUint64(append(h, 0x80|127), uint64(n))
	}
	h = append(h, frameMask[:]...)
	b = append(b, h...) // makes room
	copy(b[start+len(h):], b[start:start+n])
	copy(b[start:], h)
	for i, payload := 0, b[start+len(h):]; i < len(payload); i++ {
		payload[i] ^= frameMask[i&3]
	}
	return b
}

// nextFrame returns the frame at the head of b and its length, or zero if it is not complete yet.
func nextFrame(b []byte) (opcode byte, payload []byte, n int, err error) {
	if len(b) < 2 {
		return 0, nil, 0, nil
	}
	if b[1] >= 0x80 || b[0]&0x70 != 0 {
		return 0, nil, 0, fmt.Errorf("%w: it is masked, or uses an extension that was not asked for", errNotWebSocket)
	}
	head, length := 2, uint64(b[1])
	switch length {
	case 126:
		if head = 4; len(b) < head {
			return 0, nil, 0, nil
		}
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 127:
		if head = 10; len(b) < head {
			return 0, nil, 0, nil
		}
		length = binary.BigEndian.Uint64(b[2:])
	}
	if length > MaxReply {
		return 0, nil, 0, errFrameTooLong
	}
	if n = head + int(length); len(b) < n {
		return 0, nil, 0, nil
	}
	return b[0] & 0x0f, b[head:n], n, nil
}

// unframe appends to stream what the complete frames of b carry, appends to out what they ask for, and returns the rest of b.
func unframe(stream, out, b []byte) (newStream, newOut, rest []byte, err error) {
	for {
		opcode, payload, n, err := nextFrame(b)
		if n == 0 || err != nil {
			return stream, out, b, err
		}
		switch opcode {
		case frameBinary, frameContinuation:
			stream = append(stream, payload...)
		case framePing:
			out = frame(append(out, payload...), len(out), framePong)
		case framePong:
		case frameClose:
			return stream, out, b, fmt.Errorf("%w with %q", errClosedByFrame, shorten(payload))
		default:
			return stream, out, b, fmt.Errorf("%w: opcode %d", errNotWebSocket, opcode)
		}
		b = b[n:]
	}
}
