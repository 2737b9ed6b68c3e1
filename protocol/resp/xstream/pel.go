package xstream

import "slices"

// A pending is an entry that a consumer has got and not acknowledged.
type pending struct {
	id       ID
	consumer *consumer
	at       int64  // when it was delivered last, in milliseconds since 1970
	count    uint64 // how often
}

// A pel is a list of pending entries in the order of their IDs. It is a list of short lists, so that a change costs the same
// wherever it is: a group acknowledges at the front while it adds at the end.
type pel struct {
	parts [][]*pending // none is empty
	n     int
}

// pelPart is the longest part. Adding to one that is full splits it, unless it is at the end.
const pelPart = 256

// place returns the part where an ID is or belongs, and the index in it.
func (l *pel) place(id ID) (part, i int, found bool) {
	part, _ = slices.BinarySearchFunc(l.parts, id, func(p []*pending, id ID) int { return p[len(p)-1].id.Compare(id) })
	if part == len(l.parts) {
		return part, 0, false
	}
	i, found = slices.BinarySearchFunc(l.parts[part], id, func(p *pending, id ID) int { return p.id.Compare(id) })
	return part, i, found
}

// get returns the pending entry with an ID, or nil.
func (l *pel) get(id ID) *pending {
	if part, i, found := l.place(id); found {
		return l.parts[part][i]
	}
	return nil
}

// put adds a pending entry, whose ID is not there yet.
func (l *pel) put(p *pending) {
	l.n++
	part, i, _ := l.place(p.id)
	if part == len(l.parts) {
		if part == 0 || len(l.parts[part-1]) >= pelPart {
			l.parts = append(l.parts, []*pending{p})
			return
		}
		part--
		i = len(l.parts[part])
	}
	if len(l.parts[part]) >= pelPart {
		const half = pelPart / 2
		l.parts = slices.Insert(l.parts, part+1, slices.Clone(l.parts[part][half:]))
		clear(l.parts[part][half:])
		l.parts[part] = l.parts[part][:half]
		if i > half {
			part, i = part+1, i-half
		}
	}
	l.parts[part] = slices.Insert(l.parts[part], i, p)
}

// drop removes a pending entry.
func (l *pel) drop(p *pending) {
	part, i, found := l.place(p.id)
	if !found {
		return
	}
	l.n--
	if l.parts[part] = slices.Delete(l.parts[part], i, i+1); len(l.parts[part]) == 0 {
		l.parts = slices.Delete(l.parts, part, part+1)
	}
}

// from calls yield for the pending entries from an ID on. They must not change meanwhile.
func (l *pel) from(id ID, yield func(p *pending) bool) {
	part, i, _ := l.place(id)
	for ; part < len(l.parts); part, i = part+1, 0 {
		for _, p := range l.parts[part][i:] {
			if !yield(p) {
				return
			}
		}
	}
}

// edges returns the first and the last one, nil if there is none.
func (l *pel) edges() (first, last *pending) {
	if l.n == 0 {
		return nil, nil
	}
	end := l.parts[len(l.parts)-1]
	return l.parts[0][0], end[len(end)-1]
}
