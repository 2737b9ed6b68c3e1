package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/spate-io/spate/store"
)

// formatVersion is written into new directories; others are refused.
const formatVersion = 1

// pebbleFormat is what Pebble may use of its own format, so that a newer library does not change ours without notice. This one can tell a log that
// was cut by a crash from one that is damaged.
const pebbleFormat = pebble.FormatWALSyncChunks

// Open opens the store in a directory, which is made if there is none. The errors are [store.ErrInUse], [store.ErrFormat], and those of the disk.
func Open(dir string, options Options) (*Store, error) {
	s, err := open(dir, options)
	if err != nil {
		return nil, fmt.Errorf("opening the store in %s: %w", dir, err)
	}
	if err := s.load(); err != nil {
		s.queue.close()
		return nil, fmt.Errorf("opening the store in %s: %w", dir, errors.Join(formatError(err), s.db.Close(), s.lock.Close()))
	}
	s.fs.release()
	s.commit(s.builder.newGroup(nil, true)) // a mark
	s.start()
	return s, nil
}

// open takes the lock and opens Pebble.
func open(dir string, options Options) (*Store, error) {
	options = options.withDefaults()
	s := &Store{
		options: options, dir: dir, queue: newQueue(options.Pending),
		failed: make(chan struct{}), committed: make(chan struct{}), refused: make(chan struct{}),
		visible: map[store.Partition]*partition{}, waiters: map[store.Partition]map[*waiter]struct{}{},
	}
	s.tail.limit = options.TailBytes
	s.ballast.fs, s.ballast.name = options.FS, options.FS.PathJoin(dir, "BALLAST")
	s.fs = newGuardFS(vfs.OnDiskFull(options.FS, s.ballast.give), s.fail)
	s.builder = newBuilder(s)
	if err := options.FS.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	lock, err := pebble.LockDirectory(dir, options.FS)
	if err != nil {
		return nil, lockError(err)
	}
	s.lock = lock
	if s.db, err = openPebble(s, lock); err != nil {
		return nil, errors.Join(formatError(err), lock.Close())
	}
	return s, nil
}

func lockError(err error) error {
	if errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES) || strings.Contains(err.Error(), "held by current process") {
		return fmt.Errorf("%w: stop the other one, or give this one a directory of its own", store.ErrInUse)
	}
	return err
}

// formatError says what to do about files that Pebble does not open. For those of a newer Pebble it has no error of its own.
func formatError(err error) error {
	if text := err.Error(); strings.Contains(text, "format major version") || strings.Contains(text, "unknown format") {
		return fmt.Errorf("%w: it was written by a newer version of Spate; use that, or restore a backup: %w", store.ErrFormat, err)
	}
	if pebble.IsCorruptionError(err) {
		return fmt.Errorf("its files are damaged; restore a backup into another directory, and keep this one: %w", damage{err})
	}
	return err
}

// openPebble turns a panic of Pebble over damaged files into an error.
func openPebble(s *Store, lock *pebble.Lock) (db *pebble.DB, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the files cannot be read: %v\n%s", p, debug.Stack())
		}
	}()
	if s.tables, err = checkFiles(s.options.FS, s.dir); err != nil {
		return nil, err
	}
	s.fs.holding.Store(true)
	db, err = pebble.Open(s.dir, pebbleOptions(s, lock))
	if failure := s.queue.failure(); err == nil && failure != nil {
		err = errors.Join(failure, db.Close())
	}
	return db, err
}

func pebbleOptions(s *Store, lock *pebble.Lock) *pebble.Options {
	o := &pebble.Options{
		FS:                          s.fs,
		Lock:                        lock,
		Logger:                      pebbleLogger{s},
		EventListener:               s.listener(),
		FormatMajorVersion:          pebbleFormat,
		CacheSize:                   s.options.CacheBytes,
		MemTableSize:                s.options.MemTableBytes,
		MemTableStopWritesThreshold: memTables,
		MaxOpenFiles:                512,
		L0CompactionThreshold:       l0Files,
		L0StopWritesThreshold:       64,
		LBaseMaxBytes:               128 << 20,
		BytesPerSync:                1 << 20,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(10)
		o.Levels[i].BlockSize = 32 << 10
		o.Levels[i].Compression = compression(i)
	}
	o.TargetFileSizes[0] = 8 << 20
	return o
}

// compression is none where data is soon written again: compressing it there took a quarter of the CPU of a writer in a hurry.
func compression(level int) func() *sstable.CompressionProfile {
	if level < 6 {
		return func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return func() *sstable.CompressionProfile { return sstable.SnappyCompression }
}

// load checks the version and reads what is held in memory: streams, partitions, and the last revision.
func (s *Store) load() error {
	fresh, err := s.checkVersion()
	if err != nil || fresh {
		return err
	}
	if err := s.loadStreams(); err != nil {
		return err
	}
	if err := s.loadNumber(kindRevision, &s.builder.revision); err != nil {
		return err
	}
	return s.loadNumber(kindNumber, &s.builder.numbers)
}

func (s *Store) loadNumber(kind byte, n *uint64) error {
	value, err := s.get([]byte{kind})
	if err == nil && len(value) == 8 {
		*n = binary.BigEndian.Uint64(value)
	}
	return err
}

// checkVersion writes the version if the store is new.
func (s *Store) checkVersion() (fresh bool, err error) {
	version, err := s.get([]byte{kindVersion})
	if err != nil {
		return false, err
	}
	if version != nil {
		if len(version) == 4 && binary.BigEndian.Uint32(version) == formatVersion {
			return false, nil
		}
		return false, fmt.Errorf("%w: it has version %x, and this Spate knows %d; use the Spate that wrote it, or restore a backup", store.ErrFormat, version, formatVersion)
	}
	it, err := s.db.NewIter(nil)
	if err != nil {
		return false, err
	}
	empty := !it.First()
	if err := it.Close(); err != nil {
		return false, err
	}
	if empty && s.tables {
		return false, fmt.Errorf("%w: there are tables, and the manifest names none of them", pebble.ErrCorruption)
	}
	if !empty {
		return false, fmt.Errorf("%w: it has no version; a restore that did not finish leaves that, so delete the directory and restore again", store.ErrFormat)
	}
	return true, s.db.Set([]byte{kindVersion}, binary.BigEndian.AppendUint32(nil, formatVersion), pebble.Sync)
}

// loadStreams reads the names of all streams and what their partitions hold.
func (s *Store) loadStreams() error {
	numbers := map[uint32]*stream{}
	err := s.each([]byte{kindStream}, func(key, value []byte) error {
		if len(value) != 4 {
			return errMeta
		}
		st := &stream{name: string(key[1:]), number: binary.BigEndian.Uint32(value), partitions: map[int]*partition{}}
		numbers[st.number] = st
		s.builder.streams[st.name] = st
		return nil
	})
	if err != nil {
		return err
	}
	return s.each([]byte{kindPartition}, func(key, value []byte) error {
		if len(key) != 7 {
			return errMeta
		}
		st := numbers[binary.BigEndian.Uint32(key[1:])]
		if st == nil {
			return errMeta
		}
		p := st.partition(int(binary.BigEndian.Uint16(key[5:])))
		if err := p.head.decode(value); err != nil {
			return err
		}
		p.visible = p.head
		s.visible[p.Partition] = p
		return nil
	})
}

// each calls yield with all entries whose keys begin with prefix, in order.
func (s *Store) each(prefix []byte, yield func(key, value []byte) error) error {
	return eachEntry(s.db, prefix, successor(prefix), yield)
}

// eachEntry calls yield for all entries of a range, in order. What it is given is good until it returns.
func eachEntry(from pebble.Reader, lower, upper []byte, yield func(key, value []byte) error) error {
	it, err := from.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		err = yield(it.Key(), it.Value())
	}
	return ended(it, err)
}

// ended closes an iterator and returns why it ended: err, or what Close says, which is what its Error said before.
func ended(it *pebble.Iterator, err error) error {
	if closed := it.Close(); err == nil {
		err = closed
	}
	return err
}

// get returns a copy of the value of a key, or nil.
func (s *Store) get(key []byte) ([]byte, error) {
	value, closer, err := s.db.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return append([]byte{}, value...), closer.Close()
}
