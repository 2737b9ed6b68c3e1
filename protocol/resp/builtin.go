package resp

// The groups of COMMAND DOCS.
const (
	groupConnection = "connection"
	groupPubSub     = "pubsub"
	groupServer     = "server"
	groupStream     = "stream"
	groupGeneric    = "generic"
)

// Flags that many commands share.
const (
	everywhere = noScript | loading | stale
	anyGuest   = everywhere | Fast | Guest | allowBusy
)

// builtin returns the commands that every Protocol has. Adding one is a line here and a function.
func builtin() []Command {
	return append([]Command{
		{Name: "PING", Arity: -1, Flags: Fast | Anytime, Group: groupConnection, Since: "1.0.0", Complexity: "O(1)",
			Summary: "Ping the server", Usage: "[message]", Run: runPing},
		{Name: "ECHO", Arity: 2, Flags: Fast | loading | stale, Group: groupConnection, Since: "1.0.0", Complexity: "O(1)",
			Summary: "Echo the given string", Usage: "message", Run: runEcho},
		{Name: "PUBLISH", Arity: 3, Flags: PubSub | loading | stale | Fast | async, Group: groupPubSub, Since: "2.0.0",
			Complexity: "O(N+M) where N is the number of subscribers and M is the number of patterns",
			Summary:    "Publish an event to a subject", Usage: "channel message", Run: runPublish},
		{Name: "SUBSCRIBE", Arity: -2, Flags: PubSub | everywhere | Anytime, Group: groupPubSub, Since: "2.0.0", Complexity: "O(N)",
			Summary: "Receive the events of subjects", Usage: "channel [channel ...]", Run: runSubscribe},
		{Name: "UNSUBSCRIBE", Arity: -1, Flags: PubSub | everywhere | Anytime, Group: groupPubSub, Since: "2.0.0", Complexity: "O(N)",
			Summary: "Stop receiving the events of subjects", Usage: "[channel [channel ...]]", Run: runUnsubscribe},
		{Name: "PSUBSCRIBE", Arity: -2, Flags: PubSub | everywhere | Anytime, Group: groupPubSub, Since: "2.0.0", Complexity: "O(N)",
			Summary: "Receive the events of subjects that match glob patterns, or filters with + or # levels", Usage: "pattern [pattern ...]", Run: runPSubscribe},
		{Name: "PUNSUBSCRIBE", Arity: -1, Flags: PubSub | everywhere | Anytime, Group: groupPubSub, Since: "2.0.0", Complexity: "O(N)",
			Summary: "Stop receiving the events of patterns", Usage: "[pattern [pattern ...]]", Run: runPUnsubscribe},
		{Name: "PUBSUB", Arity: -2, Group: groupPubSub, Since: "2.8.0", Summary: "A container for commands about subscriptions",
			Subcommands: pubsubCommands()},
		{Name: "TIME", Arity: 1, Flags: loading | stale | Fast, Group: groupServer, Since: "2.6.0", Complexity: "O(1)",
			Summary: "Return the current server time", Run: runTime},
		{Name: "INFO", Arity: -1, Flags: loading | stale, Group: groupServer, Since: "1.0.0", Complexity: "O(1)",
			Summary: "Get information and statistics about the server", Usage: "[section [section ...]]", Run: runInfo},
		{Name: "CONFIG", Arity: -2, Group: groupServer, Since: "2.0.0", Summary: "A container for commands about the configuration",
			Subcommands: configCommands()},
		{Name: "COMMAND", Arity: -1, Flags: loading | stale, Group: groupServer, Since: "2.8.13", Complexity: "O(N)",
			Summary: "Get details about all commands", Run: runCommand, Subcommands: commandCommands()},
		{Name: "ACL", Arity: -2, Group: groupServer, Since: "6.0.0", Summary: "A container for commands about users",
			Subcommands: aclCommands()},
	}, append(connectionCommands(), streamCommands()...)...)
}

func connectionCommands() []Command {
	return []Command{
		{Name: "HELLO", Arity: -1, Flags: anyGuest, Group: groupConnection, Since: "6.0.0", Complexity: "O(1)",
			Summary: "Handshake: choose the version of the protocol, and log in", Usage: "[protover [AUTH username password] [SETNAME clientname]]", Run: runHello},
		{Name: "AUTH", Arity: -2, Flags: anyGuest, Group: groupConnection, Since: "1.0.0", Complexity: "O(N)",
			Summary: "Log in with a password, or as $token with a bearer token", Usage: "[username] password", Run: runAuth},
		{Name: "QUIT", Arity: -1, Flags: anyGuest | Anytime, Group: groupConnection, Since: "1.0.0", Complexity: "O(1)",
			Summary: "Close the connection", Run: runQuit},
		{Name: "RESET", Arity: 1, Flags: anyGuest | Anytime, Group: groupConnection, Since: "6.2.0", Complexity: "O(1)",
			Summary: "Take the connection back to where it began", Run: runReset},
		{Name: "SELECT", Arity: 2, Flags: loading | stale | Fast, Group: groupConnection, Since: "1.0.0", Complexity: "O(1)",
			Summary: "Accepted for the sake of clients: databases mean nothing here", Usage: "index", Run: runSelect},
		{Name: "CLIENT", Arity: -2, Group: groupConnection, Since: "2.4.0", Summary: "A container for commands about connections",
			Subcommands: clientCommands()},
		{Name: "POST", Arity: -1, Flags: anyGuest | Anytime | hidden, Run: runWeb},
		{Name: "HOST:", Arity: -1, Flags: anyGuest | Anytime | hidden, Run: runWeb},
	}
}

func clientCommands() []Command {
	of := Command{Group: groupConnection, Flags: everywhere, Complexity: "O(1)"}
	return []Command{
		of.sub("ID", 2, "5.0.0", "Return the ID of the current connection", runClientID),
		of.sub("GETNAME", 2, "2.6.9", "Return the name of the current connection", runClientGetName),
		of.taking("connection-name").sub("SETNAME", 3, "2.6.9", "Assign a name to the current connection", runClientSetName),
		of.taking("LIB-NAME|LIB-VER value").sub("SETINFO", 4, "7.2.0", "Tell the name or the version of the client's library", runClientSetInfo),
		of.sub("INFO", 2, "6.2.0", "Return a line about the current connection", runClientInfo),
		of.with(Admin).taking("[TYPE NORMAL|PUBSUB] [ID client-id [client-id ...]]").sub("LIST", -2, "2.4.0", "Return a line about each connection", runClientList),
		of.with(Admin).taking("ip:port|[ID client-id] [TYPE NORMAL|PUBSUB] [USER username] [ADDR ip:port] [LADDR ip:port] [SKIPME YES|NO] [MAXAGE seconds]").sub("KILL", -3, "2.4.0", "Close connections", runClientKill),
		help("CLIENT",
			"GETNAME", "    Return the name of the current connection.",
			"ID", "    Return the ID of the current connection.",
			"INFO", "    Return information about the current client connection.",
			"KILL <ip:port>", "    Kill connection made from <ip:port>.",
			"KILL <option> <value> [<option> <value> [...]]",
			"    Kill connections. Options are: ADDR, LADDR, TYPE (NORMAL|PUBSUB), USER, SKIPME (YES|NO), ID, MAXAGE.",
			"LIST [TYPE (NORMAL|PUBSUB)] [ID <id> [<id> ...]]", "    Return information about client connections.",
			"SETINFO (LIB-NAME|LIB-VER) <value>", "    Set information about the client's library.",
			"SETNAME <name>", "    Assign the name <name> to the current connection."),
	}
}

func commandCommands() []Command {
	of := Command{Group: groupServer, Flags: loading | stale, Complexity: "O(N)"}
	return []Command{
		of.sub("COUNT", 2, "2.8.13", "Get the number of commands", runCommandCount),
		of.taking("[command-name [command-name ...]]").sub("DOCS", -2, "7.0.0", "Get what people want to know about commands", runCommandDocs),
		of.taking("[command-name [command-name ...]]").sub("INFO", -2, "2.8.13", "Get what clients want to know about commands", runCommandInfo),
		of.taking("[FILTERBY ACLCAT category|PATTERN pattern]").sub("LIST", -2, "7.0.0", "Get the names of commands", runCommandList),
		help("COMMAND",
			"(no subcommand)", "    Return details about all commands.",
			"COUNT", "    Return the total number of commands in this server.",
			"DOCS [<command-name> ...]", "    Return documentation about commands.",
			"INFO [<command-name> ...]", "    Return details about commands.",
			"LIST [FILTERBY (ACLCAT <cat>|PATTERN <pattern>)]", "    Return the names of commands."),
	}
}

func pubsubCommands() []Command {
	of := Command{Group: groupPubSub, Flags: PubSub | loading | stale, Complexity: "O(N)"}
	return []Command{
		of.taking("[pattern]").sub("CHANNELS", -2, "2.8.0", "List the subjects that have subscribers of their own", runChannels),
		of.taking("[channel [channel ...]]").sub("NUMSUB", -2, "2.8.0", "Get the number of subscribers of subjects", runNumSub),
		of.sub("NUMPAT", 2, "2.8.0", "Get the number of patterns that have subscribers", runNumPat),
		help("PUBSUB",
			"CHANNELS [<pattern>]", "    Return the subjects with subscribers that match a <pattern> (default: '*').",
			"NUMPAT", "    Return the number of patterns with subscribers.",
			"NUMSUB [<channel> ...]", "    Return the number of subscribers of the subjects, patterns excluded."),
	}
}

func configCommands() []Command {
	of := Command{Group: groupServer, Flags: Admin | everywhere, Complexity: "O(N)"}
	return []Command{
		of.taking("parameter [parameter ...]").sub("GET", -3, "2.0.0", "Get the values of configuration parameters", runConfigGet),
		help("CONFIG", "GET <pattern>", "    Return parameters matching the glob-like <pattern> and their values."),
	}
}

func aclCommands() []Command {
	of := Command{Group: groupServer, Flags: everywhere, Complexity: "O(1)"}
	return []Command{
		of.sub("WHOAMI", 2, "6.0.0", "Return the user of the current connection", runWhoAmI),
		help("ACL", "WHOAMI", "    Return the current connection username."),
	}
}

// with returns a copy with more flags, taking one with a usage, and sub a subcommand that has what the receiver has.
func (c Command) with(flags Flags) Command {
	c.Flags |= flags
	return c
}

func (c Command) taking(usage string) Command {
	c.Usage = usage
	return c
}

func (c Command) sub(name string, arity int, since, summary string, run runFunc) Command {
	c.Name, c.Arity, c.Since, c.Summary, c.Run = name, arity, since, summary, run
	return c
}
