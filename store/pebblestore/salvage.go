package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/store"
)

// A salvage copies the records of one partition into a snapshot, without those that cannot be read.
type salvage struct {
	store *Store
	from  *pebble.Snapshot
	to    *snapshotWriter
	id    logID
	name  store.Partition
	meta  meta // of the partition, and then of what was copied
	at    uint64
	tell  func(*store.CorruptError) // nil to end at the first

	lost   bool
	copied meta // of the records that were copied: First, Count, Bytes, End
}

// run copies all records, and then the description of the partition, which says what is there.
func (v *salvage) run(ctx context.Context) error {
	v.at, v.copied = v.meta.First, meta{Bounds: store.Bounds{First: v.meta.Next}, End: v.meta.Next}
	for v.at < v.meta.End {
		err := v.blocks(ctx)
		if err == nil {
			break
		}
		if !pebble.IsCorruptionError(err) {
			return err
		}
		next := skipCorrupt(v.from, v.id, v.at, v.meta.End)
		if err := v.bad(v.at, next-v.at, damage{err}); err != nil {
			return err
		}
		v.at = next
	}
	if v.meta.dense() && v.at < v.meta.End {
		if err := v.bad(v.at, v.meta.End-v.at, errMissing); err != nil {
			return err
		}
	}
	if v.lost {
		v.meta.First, v.meta.Count, v.meta.Bytes, v.meta.End = v.copied.First, v.copied.Count, v.copied.Bytes, v.copied.End
	}
	return v.to.add(partitionKey(v.id), v.meta.encode())
}

// blocks copies blocks until there are none, or Pebble finds damage.
func (v *salvage) blocks(ctx context.Context) (err error) {
	it, err := v.from.NewIter(&pebble.IterOptions{LowerBound: blockKey(v.id, 0), UpperBound: blockKey(v.id, v.meta.End)})
	if err != nil {
		return err
	}
	defer func() { err = ended(it, err) }()
	ok := it.SeekLT(blockKey(v.id, v.at+1))
	if !ok && it.Error() == nil {
		ok = it.First()
	}
	for ok {
		if err := v.store.interrupted(ctx); err != nil {
			return err
		}
		value, err := it.ValueAndErr()
		if err != nil {
			return err
		}
		first := blockFirst(it.Key())
		if v.meta.dense() && first > v.at {
			if err := v.bad(v.at, first-v.at, errMissing); err != nil {
				return err
			}
		}
		v.at = max(v.at, first)
		broken, err := v.block(first, value)
		if err != nil {
			return err
		}
		ok = it.Next()
		if broken == nil {
			continue
		}
		next := v.meta.End // the head of the block is damaged: all of it is lost
		if ok {
			next = blockFirst(it.Key())
		}
		if err := v.bad(v.at, next-v.at, broken); err != nil {
			return err
		}
		v.at = next
	}
	return it.Error()
}

// block copies a block, or what is left of it. Broken says why its head cannot be read.
func (v *salvage) block(first uint64, value []byte) (broken, err error) {
	var r blockReader
	if broken := r.open(v.id, first, value); broken != nil {
		return broken, nil
	}
	var rest blockBuilder
	rest.start(v.id, first, r.before, r.firstAppend)
	dropped := 0
	for body := r.next(); body != nil; body = r.next() {
		if cause := r.check(body); cause != nil {
			dropped += len(body)
			if r.offset >= v.at { // nobody misses what was trimmed
				if err := v.bad(r.offset, 1, cause); err != nil {
					return nil, err
				}
			}
			continue
		}
		rest.bodies = append(rest.bodies, body...)
		rest.addRaw(r.offset, len(body))
		if r.offset >= v.at {
			v.copied.First = min(v.copied.First, r.offset)
			v.copied.Count, v.copied.Bytes, v.copied.End = v.copied.Count+1, v.copied.Bytes+uint64(len(body)), r.end
		}
	}
	v.at = max(v.at, r.end)
	switch {
	case dropped == 0:
		return nil, v.to.add(blockKey(v.id, first), value)
	case rest.count == 0:
		return nil, nil
	}
	rest.before += uint64(dropped) // as when records are removed
	return nil, v.to.add(blockKey(v.id, first), rest.finish().value)
}

// bad tells of records that are left out, and notes it in the snapshot; or it is the error that ends it.
func (v *salvage) bad(from, count uint64, cause error) error {
	e := &store.CorruptError{Position: store.Position{Partition: v.name, Offset: from}, Records: count, Err: cause}
	if v.tell == nil {
		return e
	}
	v.lost = true
	v.tell(e)
	return v.to.add([]byte{kindLost}, encodeLost(e))
}

func encodeLost(e *store.CorruptError) []byte {
	b := appendString(nil, e.Stream)
	for _, n := range [...]uint64{uint64(e.Number), e.Offset, e.Records} {
		b = binary.AppendUvarint(b, n)
	}
	return appendString(b, e.Err.Error())
}

func decodeLost(b []byte) (*store.CorruptError, error) {
	at, number := 0, uint64(0)
	e := &store.CorruptError{}
	var ok bool
	if e.Stream, ok = text(b, &at); !ok {
		return nil, errCut
	}
	for _, n := range [...]*uint64{&number, &e.Offset, &e.Records} {
		if *n, ok = uvarint(b, &at); !ok {
			return nil, errCut
		}
	}
	reason, ok := text(b, &at)
	if !ok || at != len(b) {
		return nil, errCut
	}
	e.Number, e.Err = int(number), errors.New(reason)
	return e, nil
}

// partitionsOf returns the descriptions of all partitions of a snapshot.
func partitionsOf(snapshot *pebble.Snapshot) (all []salvage, err error) {
	names := map[uint32]string{}
	err = eachEntry(snapshot, []byte{kindStream}, []byte{kindStream + 1}, func(key, value []byte) error {
		if len(value) != 4 {
			return errMeta
		}
		names[binary.BigEndian.Uint32(value)] = string(key[1:])
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = eachEntry(snapshot, []byte{kindPartition}, []byte{kindPartition + 1}, func(key, value []byte) error {
		if len(key) != 1+4+2 {
			return errMeta
		}
		v := salvage{id: logID{binary.BigEndian.Uint32(key[1:]), binary.BigEndian.Uint16(key[5:])}}
		name, known := names[v.id.stream]
		if v.name = (store.Partition{Stream: name, Number: int(v.id.partition)}); !known {
			return fmt.Errorf("%w: it belongs to no stream", errMeta)
		}
		all = append(all, v)
		return all[len(all)-1].meta.decode(value)
	})
	return all, err
}
