package pebblestore

import (
	"time"

	"github.com/spate-io/spate/event"
)

// unix makes a time of anything that the encoding can hold.
func unix(seconds, nano int64) time.Time {
	return time.Unix(seconds%(1<<40), nano%1e9)
}

// decodeAnything reports whether bytes are a block of which every record can be read.
func decodeAnything(id logID, raw []byte) (whole bool) {
	var r blockReader
	if r.open(id, 5, raw) != nil {
		return false
	}
	whole = true
	for body := r.next(); body != nil; body = r.next() {
		var e event.Event
		if _, err := r.decode(body, &e, new([]event.Header)); err != nil {
			whole = false
		}
	}
	return whole
}
