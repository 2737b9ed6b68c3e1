package pebblestore

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// A durableMark says how much of the newest log and of the newest manifest was durable when it was written. A group begins with one, in the log alone, so
// that damage to what was durable can be told from a write that the loss of power has torn. For Pebble a manifest simply ends there, and with it
// all tables that come later, and a log whose groups have more than a block of 32 KiB does as well.
type durableMark struct {
	log, logSize           uint64 // its number, and how many bytes of it were durable
	manifest, manifestSize uint64
}

const (
	markMagic = "spate durable\x00"
	markSize  = len(markMagic) + 4*8

	// Pebble's logs and manifests consist of blocks, which hold chunks. A chunk begins with its CRC (4 bytes), size (2) and kind (1): full, first, middle or
	// last, the same four with the number of the log (4), and the same with that and a durable size (8). The first chunk of a batch goes
	// on with 12 bytes and the first entry: here its kind, its size, and a mark.
	logBlock      = 32 << 10
	logHead       = 7
	logHeadNumber = 11
	logHeadSync   = 19
	logKinds      = 12
	logBatchHead  = 12
	logEntryData  = 3
	logMarkedHead = logBatchHead + 2
)

func (m *durableMark) encode() []byte {
	b := append(make([]byte, 0, markSize), markMagic...)
	for _, n := range []uint64{m.log, m.logSize, m.manifest, m.manifestSize} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return b
}

// A numbered file is a log or a manifest.
type numbered struct {
	number   uint64
	manifest bool
}

func parseName(name string) (numbered, bool) {
	digits, log := strings.CutSuffix(name, ".log")
	if !log {
		var manifest bool
		if digits, manifest = strings.CutPrefix(name, "MANIFEST-"); !manifest {
			return numbered{}, false
		}
	}
	number, err := strconv.ParseUint(digits, 10, 64)
	return numbered{number, !log}, err == nil
}

// checkFiles finds damage in the logs and the manifest of a directory that Pebble would take for their end. It reports whether there are tables.
func checkFiles(fs vfs.FS, dir string) (tables bool, err error) {
	names, err := fs.List(dir)
	if err != nil {
		return false, err
	}
	var data []byte
	sound, durable := map[numbered]uint64{}, map[numbered]uint64{}
	for _, name := range names {
		tables = tables || strings.HasSuffix(name, ".sst")
		file, ok := parseName(name)
		if !ok {
			continue
		}
		if data, err = readFile(fs, fs.PathJoin(dir, name), data); err != nil {
			return false, err
		}
		sound[file] = scanLog(data, uint32(file.number), durable)
	}
	for file, end := range sound {
		missing := end + logHead
		if !file.manifest {
			missing = end + logHeadSync // what is shorter is padding, or the chunk that ends a log that was closed
		}
		if size := durable[file]; size >= missing {
			return false, fmt.Errorf("%w: %v is damaged at byte %d, and %d bytes of it were on the disk", pebble.ErrCorruption, file, end, size)
		}
	}
	return tables, nil
}

// String returns the name of the file.
func (f numbered) String() string {
	if f.manifest {
		return fmt.Sprintf("MANIFEST-%06d", f.number)
	}
	return fmt.Sprintf("%06d.log", f.number)
}

// scanLog returns how far a log or a manifest is sound, and notes the highest marks. It finds chunks by where they must be, never by what they
// look like, since an event can look like anything.
func scanLog(data []byte, number uint32, durable map[numbered]uint64) (sound uint64) {
	broken := false
	stop := func(at int) {
		if !broken {
			sound, broken = uint64(at), true
		}
	}
	for at := 0; at < len(data); at += logBlock {
		block := data[at:min(at+logBlock, len(data))]
		for i := 0; len(block)-i >= logHead; {
			kind := block[i+6]
			if kind == 0 && len(block)-i < logHeadSync {
				break // padding
			}
			body, size := chunk(block[i:], number)
			if size == 0 {
				stop(at + i)
				break
			}
			if logChecksum(block[i+6:i+size]) != binary.LittleEndian.Uint32(block[i:]) {
				stop(at + i)
			} else if (kind-1)%4 <= 1 {
				noteMarks(body, durable)
			}
			i += size
		}
	}
	stop(len(data))
	return sound
}

// chunk returns what a chunk holds and the size of all of it, or 0 if there is none of this log.
func chunk(b []byte, number uint32) (body []byte, size int) {
	kind := b[6]
	if kind == 0 || kind > logKinds {
		return nil, 0
	}
	head := [...]int{logHead, logHeadNumber, logHeadSync}[(kind-1)/4]
	size = head + int(binary.LittleEndian.Uint16(b[4:]))
	if size > len(b) || head > logHead && binary.LittleEndian.Uint32(b[logHead:]) != number {
		return nil, 0
	}
	return b[head:size], size
}

// noteMarks looks at the beginning of a batch.
func noteMarks(batch []byte, durable map[numbered]uint64) {
	if len(batch) < logMarkedHead+markSize || batch[logBatchHead] != logEntryData || int(batch[logBatchHead+1]) != markSize {
		return
	}
	m, ok := bytes.CutPrefix(batch[logMarkedHead:logMarkedHead+markSize], []byte(markMagic))
	if !ok {
		return
	}
	for i, manifest := range []bool{false, true} {
		file, size := numbered{binary.BigEndian.Uint64(m[16*i:]), manifest}, binary.BigEndian.Uint64(m[16*i+8:])
		durable[file] = max(durable[file], size)
	}
}

// logChecksum is what Pebble's log has for a checksum, that of LevelDB.
func logChecksum(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// readFile reads a file into a buffer, or into a larger one.
func readFile(fs vfs.FS, name string, buf []byte) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil {
		buf = slices.Grow(buf[:0], int(info.Size()))[:info.Size()]
		_, err = io.ReadFull(f, buf)
	}
	return buf, errors.Join(err, f.Close())
}
