// Package echo is the smallest protocol: bytes in, the same bytes out
// (RFC 862), in order. It is what the engine's cost is measured with, and a
// model for new protocols.
//
// Bytes that arrive together leave together. A peer that sends without reading
// is not read any more once half of the engine's Limits.Buffered waits for it,
// so neither side loses or reorders a byte, whatever their amount.
package echo
