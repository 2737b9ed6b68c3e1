package websocket

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/flate"
)

// deflateAnswer is what we agree on (RFC 7692): each message is compressed for itself, both ways, so that a connection keeps no window.
const deflateAnswer = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// offersDeflate tells whether one of the extensions that a client offers is what deflateAnswer accepts.
func offersDeflate(h http.Header) (bool, error) {
	seen, offered := 0, false
	for _, field := range h["Sec-Websocket-Extensions"] {
		for offer := range strings.SplitSeq(field, ",") {
			if seen++; seen > maxOffers {
				return false, refuse(http.StatusBadRequest, "there are more than %d extensions", maxOffers)
			}
			name, parameters, _ := strings.Cut(offer, ";")
			name = strings.Trim(name, " \t")
			if !isToken(name) {
				return false, refuse(http.StatusBadRequest, "the extension %.40q is not a name", name)
			}
			offered = offered || name == "permessage-deflate" && acceptable(parameters)
		}
	}
	return offered, nil
}

// acceptable tells whether an offer is well-formed and asks for nothing that we do not do: a window of our own that is smaller.
func acceptable(parameters string) bool {
	seen := map[string]bool{}
	for item := range strings.SplitSeq(parameters, ";") {
		item = strings.Trim(item, " \t")
		if item == "" && len(seen) == 0 && strings.Trim(parameters, " \t") == "" {
			return true
		}
		name, value, valued := strings.Cut(item, "=")
		name, value = strings.TrimRight(name, " \t"), strings.Trim(value, ` "`)
		if seen[name] {
			return false
		}
		seen[name] = true
		switch name {
		case "server_no_context_takeover", "client_no_context_takeover":
			if valued {
				return false
			}
		case "client_max_window_bits":
			if valued && !windowBits(value) {
				return false
			}
		default: // server_max_window_bits too
			return false
		}
	}
	return true
}

// windowBits tells whether text is a size of a window: 8 to 15.
func windowBits(text string) bool {
	return len(text) == 1 && text >= "8" && text <= "9" || len(text) == 2 && text >= "10" && text <= "15"
}

// A packer compresses and decompresses for all connections of a Protocol.
type packer struct {
	chunks    sync.Pool
	inflaters sync.Pool
	bound     int64
	held      atomic.Int64 // bytes of the chunks that are in use
}

// A chunk is a pooled buffer that holds one message on its way in or out.
type chunk struct {
	b       []byte
	counted int // of its capacity, in packer.held
}

// Write makes a chunk an io.Writer.
func (k *chunk) Write(p []byte) (int, error) {
	k.b = append(k.b, p...)
	return len(p), nil
}

func (p *packer) chunk() *chunk {
	k, ok := p.chunks.Get().(*chunk)
	if !ok {
		k = &chunk{b: make([]byte, 0, firstChunk)}
	}
	k.counted = cap(k.b)
	p.held.Add(int64(k.counted))
	return k
}

// free takes the buffer back. One that has grown large is left to the garbage collector, since a pool would keep it.
func (p *packer) free(k *chunk) {
	p.held.Add(-int64(k.counted))
	if cap(k.b) <= maxKept {
		k.b = k.b[:0]
		p.chunks.Put(k)
	}
}

// grow makes room for more, up to n bytes in all, unless all chunks together hold what they may.
func (p *packer) grow(k *chunk, n int) bool {
	bigger := min(2*cap(k.b), n)
	added := bigger - cap(k.b)
	if p.held.Add(int64(added)) > p.bound {
		p.held.Add(-int64(added))
		return false
	}
	k.counted += added
	k.b = append(make([]byte, 0, bigger), k.b...)
	return true
}

// deflateTail ends each compressed message and is not sent (RFC 7692, 7.2.1); what follows it here is an empty last block, so that the
// end is seen as one.
var deflateTail = []byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff")

// syncTail is how much of it a compressor leaves.
const syncTail = 4

// An inflater is a pooled decompressor: 40 KiB.
type inflater struct {
	r          io.ReadCloser
	data, tail bytes.Reader
}

// inflate decompresses a message of at most limit bytes. Memory is taken as it is needed: whatever the ratio, no more than twice what came
// out, and never more than limit.
func (p *packer) inflate(data []byte, limit int) (*chunk, *violation) {
	f, ok := p.inflaters.Get().(*inflater)
	if !ok {
		f = &inflater{r: flate.NewReader(bytes.NewReader(nil))}
	}
	defer p.inflaters.Put(f)
	f.data.Reset(data)
	f.tail.Reset(deflateTail)
	defer f.data.Reset(nil)
	if err := f.r.(flate.Resetter).Reset(io.MultiReader(&f.data, &f.tail), nil); err != nil {
		return nil, errInflate
	}
	k := p.chunk()
	for {
		if len(k.b) == cap(k.b) && !p.grow(k, max(limit, len(k.b))+1) {
			p.free(k)
			return nil, errCrowded
		}
		n, err := f.r.Read(k.b[len(k.b):cap(k.b)])
		k.b = k.b[:len(k.b)+n]
		var v *violation
		switch {
		case len(k.b) > limit:
			v = errTooLarge
		case err == io.EOF:
			return k, nil
		case err != nil:
			v = errInflate
		default:
			continue
		}
		p.free(k)
		return nil, v
	}
}

// Deflate appends data to dst, compressed for [Conn.PushDeflated], or returns dst as it is if that is not worth it.
func Deflate(dst, data []byte) []byte {
	if len(data) < minDeflate {
		return dst
	}
	k := &chunk{b: dst}
	if err := flate.StatelessDeflate(k, data, false, nil); err != nil || len(k.b)-len(dst) >= len(data) {
		return dst
	}
	return k.b[:len(k.b)-syncTail]
}

// deflate returns data compressed, or nil if that does not make it smaller.
func (p *packer) deflate(data []byte) *chunk {
	k := p.chunk()
	if err := flate.StatelessDeflate(k, data, false, nil); err != nil || len(k.b)-syncTail >= len(data) {
		p.free(k)
		return nil
	}
	k.b = k.b[:len(k.b)-syncTail]
	return k
}
