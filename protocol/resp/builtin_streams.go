package resp

// streamCommands are those of Redis streams, and the few about keys of any type that make sense for streams.
func streamCommands() []Command {
	x := Command{Group: groupStream, Flags: streamed, Since: "5.0.0", Complexity: "O(N)"}
	w, ro := x.with(write), x.with(readOnly)
	list := []Command{
		w.with(denyOOM|Fast|async).taking("key [NOMKSTREAM] [MAXLEN|MINID [=|~] threshold [LIMIT count]] *|id field value [field value ...]").
			sub("XADD", -5, "5.0.0", "Append an entry to a stream", writes(runXAdd)),
		w.taking("key MAXLEN|MINID [=|~] threshold [LIMIT count]").sub("XTRIM", -4, "5.0.0", "Remove entries from the beginning of a stream", writes(runXTrim)),
		w.with(Fast).taking("key id [id ...]").sub("XDEL", -3, "5.0.0", "Remove entries from a stream", writes(runXDel)),
		w.with(denyOOM|Fast).taking("key last-id [ENTRIESADDED entries-added] [MAXDELETEDID max-deleted-id]").
			sub("XSETID", -3, "5.0.0", "Set the last ID of a stream", writes(runXSetID)),
		ro.with(Fast).taking("key").sub("XLEN", 2, "5.0.0", "Return the number of entries of a stream", reads(1, runXLen)),
		ro.taking("key start end [COUNT count]").sub("XRANGE", -4, "5.0.0", "Return the entries of a range of IDs", reads(1, runXRange)),
		ro.taking("key end start [COUNT count]").sub("XREVRANGE", -4, "5.0.0", "Return the entries of a range of IDs, last one first", reads(1, runXRevRange)),
		ro.with(Blocking|movable).taking("[COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...]").
			sub("XREAD", -4, "5.0.0", "Return the entries of streams after an ID, waiting for them if asked to", runXRead),
		w.with(Blocking|movable).taking("GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]").
			sub("XREADGROUP", -7, "5.0.0", "Return new or pending entries of streams for a consumer of a group", runXReadGroup),
		w.with(Fast).taking("key group id [id ...]").sub("XACK", -4, "5.0.0", "Acknowledge entries that a consumer group has got", reads(1, runXAck)),
		ro.taking("key group [[IDLE min-idle-time] start end count [consumer]]").
			sub("XPENDING", -3, "5.0.0", "Return the entries that a consumer group has got and not acknowledged", reads(1, runXPending)),
		w.with(Fast).taking("key group consumer min-idle-time id [id ...] [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] [FORCE] [JUSTID] [LASTID lastid]").
			sub("XCLAIM", -6, "5.0.0", "Give pending entries to another consumer", reads(1, runXClaim)),
		w.with(Fast).taking("key group consumer min-idle-time start [COUNT count] [JUSTID]").
			sub("XAUTOCLAIM", -6, "6.2.0", "Give entries that are pending for long to another consumer", reads(1, runXAutoClaim)),
		{Name: "XGROUP", Arity: -2, Group: groupStream, Since: "5.0.0", Summary: "A container for commands about consumer groups", Subcommands: xgroupCommands()},
		{Name: "XINFO", Arity: -2, Group: groupStream, Since: "5.0.0", Summary: "A container for commands that look at streams", Subcommands: xinfoCommands()},
	}
	g := Command{Group: groupGeneric, Flags: keyed, Complexity: "O(N)"}
	return append(list,
		g.with(write).taking("key [key ...]").sub("DEL", -2, "1.0.0", "Remove keys", runDel),
		g.with(write|Fast).taking("key [key ...]").sub("UNLINK", -2, "4.0.0", "Remove keys", runDel),
		g.with(readOnly|Fast).taking("key [key ...]").sub("EXISTS", -2, "1.0.0", "Return how many of the keys there are", runExists),
		g.with(readOnly|Fast).taking("key").sub("TYPE", 2, "1.0.0", "Return the type of a key", reads(1, runType)),
	)
}

func xgroupCommands() []Command {
	of := Command{Group: groupStream, Flags: streamed | write, Complexity: "O(1)"}
	return []Command{
		of.with(denyOOM).taking("key group id|$ [MKSTREAM] [ENTRIESREAD entries-read]").sub("CREATE", -5, "5.0.0", "Create a consumer group", reads(2, runXGroupCreate)),
		of.with(denyOOM).taking("key group consumer").sub("CREATECONSUMER", 5, "6.2.0", "Create a consumer", reads(2, runXGroupCreateConsumer)),
		of.taking("key group consumer").sub("DELCONSUMER", 5, "5.0.0", "Remove a consumer", reads(2, runXGroupDelConsumer)),
		of.taking("key group").sub("DESTROY", 4, "5.0.0", "Remove a consumer group", reads(2, runXGroupDestroy)),
		of.taking("key group id|$ [ENTRIESREAD entries-read]").sub("SETID", -5, "5.0.0", "Move a consumer group", reads(2, runXGroupSetID)),
		streamHelp("XGROUP",
			"CREATE <key> <groupname> <id|$> [option]", "    Create a new consumer group. Options are:",
			"    * MKSTREAM", "      Create the empty stream if it does not exist.",
			"    * ENTRIESREAD entries_read", "      Set the group's entries_read counter (internal use).",
			"CREATECONSUMER <key> <groupname> <consumer>", "    Create a new consumer in the specified group.",
			"DELCONSUMER <key> <groupname> <consumer>", "    Remove the specified consumer.",
			"DESTROY <key> <groupname>", "    Remove the specified group.",
			"SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]", "    Set the current group ID and entries_read counter."),
	}
}

func xinfoCommands() []Command {
	of := Command{Group: groupStream, Flags: streamed | readOnly, Complexity: "O(N)"}
	return []Command{
		of.taking("key group").sub("CONSUMERS", 4, "5.0.0", "List the consumers of a group", reads(2, runXInfoConsumers)),
		of.taking("key").sub("GROUPS", 3, "5.0.0", "List the consumer groups of a stream", reads(2, runXInfoGroups)),
		of.taking("key [FULL [COUNT count]]").sub("STREAM", -3, "5.0.0", "Return what there is to know about a stream", reads(2, runXInfoStream)),
		streamHelp("XINFO",
			"CONSUMERS <key> <groupname>", "    Show consumers of <groupname>.",
			"GROUPS <key>", "    Show the stream consumer groups.",
			"STREAM <key> [FULL [COUNT <count>]", "    Show information about the stream."),
	}
}

func streamHelp(parent string, usage ...string) Command {
	c := help(parent, usage...)
	c.Group, c.Flags = groupStream, c.Flags|streamed
	return c
}
