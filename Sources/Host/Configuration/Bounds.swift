/// What a configuration file may cost, whoever wrote it: the file may come from a repository of many authors or from a
/// template engine gone wrong, and a reload must not take the running gateway's memory with it.
enum Bounds {
    /// A version of a model takes some 300 bytes of YAML, so 4 MiB hold a thousand models of a dozen versions; a larger
    /// file is a mistake (a log, a model's weights) and is refused before it is parsed.
    static let fileBytes = 4 << 20

    /// Nodes after aliases are expanded: the thousand models above are about 200,000 nodes. Aliases share memory here,
    /// but a plugin that copies its tree pays for each.
    static let nodes = 262_144

    /// The host's own keys nest nine deep; the rest is for plugins. Far below what recursion on a 512 KiB stack bears.
    static let depth = 64

    /// Text of all scalars after aliases and environment references are expanded: four times the file, so that
    /// `${NAME}` of a 128 KiB variable, repeated, cannot exhaust memory.
    static let textBytes = 16 << 20

    /// A reader stops reading long before; more only costs memory and a scrolled-away first line.
    static let diagnostics = 1_000

    /// Known names that all guesses of one reading are compared with: each costs up to the square of 64,
    /// and a file with as many wrong names as right ones would make it cubic. A thousand errors among a hundred names.
    static let suggestionCandidates = 100_000

    /// libyaml compares each `%TAG` directive with all before it, so a file full of them would take minutes. One that
    /// a person wrote has at most one or two directives.
    static let directives = 16

    /// `sun_path` of Linux's `sockaddr_un` holds 108 bytes, the last a NUL (unix(7)).
    static let socketPathBytes = 107
}
