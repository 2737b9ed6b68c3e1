package resp

import (
	"context"
	"fmt"

	"github.com/spate-io/spate/protocol/resp/xstream"
)

func runXInfoStream(ctx context.Context, r *Request, key []byte) error {
	if err := r.needs(ctx, key, xstream.ErrNoKey); err != nil {
		return err
	}
	full, count := false, int64(10)
	switch {
	case len(r.args) == 3:
	case (len(r.args) == 4 || len(r.args) == 6) && sameFold(r.args[3], "full"):
		full = true
	default:
		return r.subSyntax()
	}
	if len(r.args) == 6 {
		if !sameFold(r.args[4], "count") {
			return r.subSyntax()
		}
		var err error
		if count, err = r.Int(5); err != nil {
			return err
		}
		if count < 0 {
			count = 10
		}
	}
	if full {
		return r.xinfoFull(ctx, key, count)
	}
	info, release, err := r.info(ctx, key, -1)
	defer release()
	if err != nil {
		return err
	}
	r.Map(10)
	r.infoHead(info)
	r.number("groups", int64(len(info.Groups)))
	r.infoEntry("first-entry", info.First)
	r.infoEntry("last-entry", info.LastItem)
	return nil
}

// info returns what there is at a key, in lists for which there is room.
func (r *Request) info(ctx context.Context, key []byte, pending int64) (info xstream.Info, release func(), err error) {
	got, release := r.proto.grant(streamReply)
	info, err = r.proto.streams.Info(ctx, key, pending, got/xstream.ListedSize)
	return info, release, err
}

// number, and labelID, reply with a name and what it has.
func (r *Request) number(name string, n int64) {
	r.BulkString(name)
	r.Integer(n)
}

func (r *Request) labelID(name string, id xstream.ID) {
	r.BulkString(name)
	r.replyID(id)
}

// infoHead is what both forms of XINFO STREAM have: seven names. There is no radix tree here: its size is what Redis would need.
func (r *Request) infoHead(info xstream.Info) {
	const node = 100
	r.number("length", info.Length)
	keys := (info.Length + node - 1) / node
	r.number("radix-tree-keys", keys)
	r.number("radix-tree-nodes", keys+1)
	r.labelID("last-generated-id", info.Last)
	r.labelID("max-deleted-entry-id", info.Deleted)
	r.number("entries-added", info.Added)
	r.labelID("recorded-first-entry-id", info.FirstID)
}

func (r *Request) infoEntry(name string, e *xstream.Entry) {
	r.BulkString(name)
	if e == nil {
		r.Null()
		return
	}
	r.want--
	r.out = r.appendEntry(r.out, *e)
	r.spill()
}

func (r *Request) xinfoFull(ctx context.Context, key []byte, count int64) error {
	info, release, err := r.info(ctx, key, count)
	defer release()
	if err != nil {
		return err
	}
	var list entryList
	defer list.release()
	q := xstream.Range{End: xstream.MaxID, Count: count}
	if count == 0 {
		q.Count = -1
	}
	var full error
	_, err = r.proto.streams.Range(ctx, key, q, func(e xstream.Entry) bool {
		full = list.add(r, e)
		return full == nil
	})
	switch {
	case err != nil:
		return err
	case full != nil:
		return Error(fmt.Sprintf("ERR the reply would be too long: %s. Ask for fewer entries, with COUNT", full))
	}
	r.Map(9)
	r.infoHead(info)
	r.BulkString("entries")
	list.reply(r)
	r.BulkString("groups")
	r.Array(len(info.Groups))
	for i := range info.Groups {
		r.fullGroup(&info.Groups[i])
	}
	return nil
}

func (r *Request) fullGroup(g *xstream.GroupInfo) {
	r.Map(7)
	r.pair("name", g.Name)
	r.labelID("last-delivered-id", g.Last)
	r.known("entries-read", g.Read, g.Read != xstream.UnknownRead)
	r.known("lag", g.Lag, g.LagKnown)
	r.number("pel-count", int64(g.Pending))
	r.BulkString("pending")
	r.Array(len(g.Entries))
	for _, p := range g.Entries {
		r.spill()
		r.Array(4)
		r.replyID(p.ID)
		r.BulkString(p.Consumer)
		r.Integer(p.At)
		r.Integer(int64(p.Count))
	}
	r.BulkString("consumers")
	r.Array(len(g.Consumers))
	for _, c := range g.Consumers {
		r.spill()
		r.Map(4)
		r.pair("name", c.Name)
		r.number("seen-time", c.Seen)
		r.number("pel-count", int64(c.Pending))
		r.BulkString("pending")
		r.Array(len(c.Entries))
		for _, p := range c.Entries {
			r.Array(3)
			r.replyID(p.ID)
			r.Integer(p.At)
			r.Integer(int64(p.Count))
		}
	}
}

// known replies with a name and a number, or null for one that nobody knows.
func (r *Request) known(name string, n int64, known bool) {
	r.BulkString(name)
	if !known {
		r.Null()
		return
	}
	r.Integer(n)
}

func runXInfoGroups(ctx context.Context, r *Request, key []byte) error {
	info, release, err := r.info(ctx, key, -1)
	defer release()
	if err != nil {
		return err
	}
	r.Array(len(info.Groups))
	for i := range info.Groups {
		g := &info.Groups[i]
		r.spill()
		r.Map(6)
		r.pair("name", g.Name)
		r.number("consumers", int64(g.Members))
		r.number("pending", int64(g.Pending))
		r.labelID("last-delivered-id", g.Last)
		r.known("entries-read", g.Read, g.Read != xstream.UnknownRead)
		r.known("lag", g.Lag, g.LagKnown)
	}
	return nil
}

func runXInfoConsumers(ctx context.Context, r *Request, key []byte) error {
	got, release := r.proto.grant(streamReply)
	defer release()
	list, err := r.proto.streams.Consumers(ctx, key, r.args[3], got/xstream.ListedSize)
	if err != nil {
		return noGroup(err, noGroupAtKey, r.args[3], key)
	}
	r.consumers(list)
	return nil
}

func (r *Request) consumers(list []xstream.ConsumerInfo) {
	now := r.proto.clock().UnixMilli()
	r.Array(len(list))
	for _, c := range list {
		r.spill()
		r.Map(3)
		r.pair("name", c.Name)
		r.number("pending", int64(c.Pending))
		r.number("idle", max(now-c.Seen, 0))
	}
}
