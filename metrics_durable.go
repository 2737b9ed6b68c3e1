package spate

import (
	"context"
	"time"

	"github.com/spate-io/spate/store/pebblestore"
)

// durable counts what is stored and how far the consumers are. It reads the store, so it has little time.
func (c *collector) durable(s sheet) {
	a := c.app
	if a.durable == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	healthy := 1.0
	if a.durable.health() != nil {
		healthy = 0
	}
	s.gauge("store_healthy", "0 while the store takes nothing, because its disk is full or has failed.", healthy)
	for _, st := range a.Streams().List() {
		name := st.Config().Name
		s.count("stream_left_out_total", "Events of the server's own that a stream was too small for.", st.LeftOut(), "stream", name)
		if info, err := a.Streams().Info(ctx, name); err == nil {
			s.gauge("stream_events", "Events that a stream holds.", float64(info.Events), "stream", name)
			s.gauge("stream_bytes", "Bytes that a stream holds, before compression.", float64(info.Bytes), "stream", name)
		}
	}
	c.consumers(ctx, s)
	if p, ok := a.durable.store.(*pebblestore.Store); ok {
		c.pebble(s, p.Stats())
	}
}

func (c *collector) consumers(ctx context.Context, s sheet) {
	all, err := c.app.Consumers().List(ctx)
	if err != nil {
		return // the next collection tries again
	}
	for _, i := range all {
		running, inFlight, held := 0.0, 0, 0
		if i.Running {
			running = 1
		}
		for _, p := range i.Partitions {
			inFlight += p.InFlight
			held += p.Held
		}
		s.gauge("consumer_lag", "Events that a consumer has not handled yet.", float64(i.Lag), "consumer", i.Name)
		s.gauge("consumer_running", "1 while the consumer runs in this process.", running, "consumer", i.Name)
		s.gauge("consumer_in_flight", "Events that a consumer has in memory.", float64(inFlight), "consumer", i.Name)
		s.gauge("consumer_held_keys", "Keys that wait for their next attempt.", float64(held), "consumer", i.Name)
		n := i.Counters
		s.count("consumer_handled_total", "Events that were handled.", n.Handled, "consumer", i.Name)
		s.count("consumer_skipped_total", "Events that a handler skipped.", n.Skipped, "consumer", i.Name)
		s.count("consumer_retried_total", "Attempts that failed and were not the last.", n.Retried, "consumer", i.Name)
		s.count("consumer_dead_total", "Events that became dead letters.", n.Dead, "consumer", i.Name)
		s.count("consumer_steps_total", "Commits of a consumer.", n.Steps, "consumer", i.Name)
		s.count("consumer_missed_total", "Events that retention removed before they were read.", n.Missed, "consumer", i.Name)
		s.count("consumer_corrupt_total", "Records that could not be read.", n.Corrupt, "consumer", i.Name)
	}
}

// pebble counts what the embedded store does.
func (c *collector) pebble(s sheet, p pebblestore.Stats) {
	s.count("store_commits_total", "Batches that were committed.", p.Commits)
	s.count("store_refused_total", "Batches that were not committed.", p.Refused)
	s.count("store_groups_total", "Writes to the log, each of which holds the batches that had come together.", p.Groups)
	s.count("store_events_total", "Events that were appended.", p.Events)
	s.count("store_duplicates_total", "Events that were left out because a stream held them.", p.Duplicates)
	s.count("store_background_errors_total", "Flushes and compactions that failed, and are tried again.", p.BackgroundErrors)
	s.count("store_corruptions_total", "Damaged files that were met.", p.Corruptions)
	s.gauge("store_pending_bytes", "Bytes that wait to be committed.", float64(p.Pending))
	s.gauge("store_disk_bytes", "Bytes of all files of the store.", float64(p.DiskBytes))
	below, all := make(map[float64]uint64, len(pebblestore.FsyncBounds)), uint64(0)
	for i, n := range p.FsyncLatency {
		if all += n; i < len(pebblestore.FsyncBounds) {
			below[pebblestore.FsyncBounds[i].Seconds()] = all
		}
	}
	s.histogram("store_fsync_seconds", "Time that fsync of the log took.", all, p.FsyncTime, below)
}
