import Host

// The hidden command by which the gateway tries a plugin in a process of its own.
if CommandLine.arguments.dropFirst().first == ProbeCommand.argument { runProbe() }
