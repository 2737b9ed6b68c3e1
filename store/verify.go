package store

import "context"

// Verify reads every record of every partition, and calls corrupt for each place that cannot be read, once. After each read it calls
// progress, if that is set, with the number of records read so far. It returns how many could be read.
func Verify(ctx context.Context, s Store, corrupt func(*CorruptError), progress func(records uint64)) (records uint64, err error) {
	if progress == nil {
		progress = func(uint64) {}
	}
	all, err := s.Partitions(ctx)
	if err != nil {
		return 0, err
	}
	for _, p := range all {
		for at := (Position{Partition: p}); ; {
			next := at.Offset
			read, err := s.Read(ctx, at, ReadOptions{OnCorrupt: func(c *CorruptError) {
				if after := c.Offset + max(1, c.Records); after > next {
					next = after
					corrupt(c)
				}
			}})
			if err != nil {
				return records, err
			}
			if n := len(read); n > 0 {
				records += uint64(n)
				next = max(next, read[n-1].Offset+1)
			}
			if next == at.Offset {
				break
			}
			at.Offset = next
			progress(records)
		}
	}
	return records, nil
}
