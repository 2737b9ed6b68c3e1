package websocket

import (
	"encoding/binary"
	"math/bits"
)

// An opcode says what a frame is (RFC 6455, 5.2).
type opcode byte

const (
	opContinuation opcode = 0x0
	opText         opcode = 0x1
	opBinary       opcode = 0x2
	opClose        opcode = 0x8
	opPing         opcode = 0x9
	opPong         opcode = 0xA
)

func (o opcode) control() bool { return o&0x8 != 0 }

func (o opcode) known() bool { return o <= opBinary || o >= opClose && o <= opPong }

// Bits of the first two bytes of a frame.
const (
	bitFin    = 0x80
	bitRSV1   = 0x40
	bitsRSV23 = 0x30
	bitsOp    = 0x0f
	bitMask   = 0x80
	bitsLen   = 0x7f
	len16     = 126 // two bytes of length follow
	len64     = 127 // eight bytes of length follow
)

// A header is what precedes the payload of a frame.
type header struct {
	op         opcode
	fin        bool
	compressed bool   // RSV1 (RFC 7692, 6)
	length     int64  // of the payload
	key        uint32 // with which the payload is masked; its first byte is the lowest
}

// parseHeader reads the header of a client's frame and returns its size, which is 0 if more bytes are needed. What is wrong with the first
// two bytes is reported as soon as they are there.
func parseHeader(b []byte, compression bool) (h header, size int, err *violation) {
	if len(b) < 2 {
		return h, 0, nil
	}
	h.op, h.fin, h.compressed = opcode(b[0]&bitsOp), b[0]&bitFin != 0, b[0]&bitRSV1 != 0
	short := int(b[1] & bitsLen)
	switch {
	case b[0]&bitsRSV23 != 0, h.compressed && (!compression || h.op.control() || h.op == opContinuation):
		return h, 0, errReserved
	case !h.op.known():
		return h, 0, errOpcode
	case b[1]&bitMask == 0:
		return h, 0, errUnmasked
	case h.op.control() && !h.fin:
		return h, 0, errFragmentedControl
	case h.op.control() && short > maxControl:
		return h, 0, errLongControl
	}
	size = 2 + 4
	switch short {
	case len16:
		size += 2
	case len64:
		size += 8
	}
	if len(b) < size {
		return h, 0, nil
	}
	switch h.length = int64(short); short {
	case len16:
		h.length = int64(binary.BigEndian.Uint16(b[2:]))
	case len64:
		h.length = int64(binary.BigEndian.Uint64(b[2:]))
	}
	switch {
	case h.length < 0:
		return h, 0, errNegativeLength
	case short == len16 && h.length < len16, short == len64 && h.length <= 0xffff:
		return h, 0, errPaddedLength
	}
	h.key = binary.LittleEndian.Uint32(b[size-4:])
	return h, size, nil
}

// appendHead appends the header of a server's frame, which is not masked.
func appendHead(to []byte, op opcode, compressed bool, length int) []byte {
	first := byte(op) | bitFin
	if compressed {
		first |= bitRSV1
	}
	switch {
	case length < len16:
		return append(to, first, byte(length))
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(to, first, len16), uint16(length))
	}
	return binary.BigEndian.AppendUint64(append(to, first, len64), uint64(length))
}

// unmask writes src, unmasked, to dst, which is as long and may lie before it in the same array, and returns the key for what follows
// (RFC 6455, 5.3).
func unmask(dst, src []byte, key uint32) uint32 {
	dst = dst[:len(src)]
	wide := uint64(key)<<32 | uint64(key)
	for len(src) >= 8 {
		binary.LittleEndian.PutUint64(dst, binary.LittleEndian.Uint64(src)^wide)
		dst, src = dst[8:], src[8:]
	}
	for i, b := range src {
		dst[i] = b ^ byte(key)
		key = bits.RotateLeft32(key, -8)
	}
	return key
}
