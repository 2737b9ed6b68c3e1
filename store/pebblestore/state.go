package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"github.com/spate-io/spate/store"
)

var errState = errors.New("it is damaged: restore a backup, or write it anew")

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key string) (store.Value, error) {
	release, err := s.use(ctx)
	if err != nil {
		return store.Value{}, err
	}
	defer release()
	return s.getState(key)
}

func (s *Store) getState(key string) (store.Value, error) {
	value, err := s.get(stateKey(key))
	if err != nil || value == nil {
		return store.Value{}, err
	}
	v, ok := parseState(value)
	if !ok {
		return v, fmt.Errorf("reading the state %.100q: %w", key, errState)
	}
	return v, nil
}

func parseState(value []byte) (store.Value, bool) {
	if len(value) < 8 {
		return store.Value{}, false
	}
	return store.Value{Revision: binary.BigEndian.Uint64(value), Data: value[8:]}, true
}

// Scan implements [store.Store].
func (s *Store) Scan(ctx context.Context, prefix, after string, limit int) ([]store.Entry, error) {
	release, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	lower, upper := stateKey(prefix), successor(stateKey(prefix))
	if after != "" && after >= prefix {
		lower = append(stateKey(after), 0)
	}
	it, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, err
	}
	var entries []store.Entry
	for ok := it.First(); ok && len(entries) < limit && err == nil; ok = it.Next() {
		key := string(it.Key()[1:])
		v, ok := parseState(append([]byte(nil), it.Value()...))
		if !ok {
			err = fmt.Errorf("reading the state %.100q: %w", key, errState)
			break
		}
		entries = append(entries, store.Entry{Key: key, Value: v})
		err = ctx.Err()
	}
	if err = ended(it, err); err != nil {
		return nil, err
	}
	return entries, nil
}

// Cursor implements [store.Store].
func (s *Store) Cursor(ctx context.Context, id store.Cursor) (uint64, error) {
	release, err := s.use(ctx)
	if err != nil {
		return 0, err
	}
	defer release()
	return s.getCursor(id)
}

func (s *Store) getCursor(id store.Cursor) (uint64, error) {
	value, closer, err := s.db.Get(cursorKey(id))
	if errors.Is(err, pebble.ErrNotFound) {
		return store.NoCursor, nil
	}
	if err != nil {
		return 0, err
	}
	if len(value) != 8 {
		return 0, errors.Join(fmt.Errorf("reading the cursor of consumer %q: %w", id.Consumer, errState), closer.Close())
	}
	return binary.BigEndian.Uint64(value), closer.Close()
}

// Cursors implements [store.Store].
func (s *Store) Cursors(ctx context.Context, consumer string) (map[store.Cursor]uint64, error) {
	release, err := s.use(ctx)
	if err != nil {
		return nil, err
	}
	defer release()
	prefix := []byte{kindCursor}
	if consumer != "" {
		prefix = cursorPrefix(consumer)
	}
	all := map[store.Cursor]uint64{}
	err = s.each(prefix, func(key, value []byte) error {
		id, ok := parseCursorKey(key)
		if !ok || len(value) != 8 {
			return fmt.Errorf("reading cursors: %w", errState)
		}
		all[id] = binary.BigEndian.Uint64(value)
		return ctx.Err()
	})
	if err != nil {
		return nil, err
	}
	return all, nil
}
