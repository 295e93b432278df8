import CLinux
import Glibc

/// How an image is tried in a child process before it is loaded into this one.
public struct ProbeCommand: Equatable, Sendable {
    /// The argument that makes the `sluice` executable call `runProbe`.
    public static let argument = "__probe"

    /// The `sluice` executable; nil: the one that runs, also after its file was replaced by another.
    public var executable: String?
    /// Milliseconds until the child is killed. An honest plugin takes about three. Where the machine keeps it from
    /// running for so long, it gets up to ten times as much.
    public var timeLimit: Int

    /// - Parameter timeLimit: In milliseconds; nil for 1000, or 5000 under a sanitizer, whose start-up alone may take
    ///   one of them.
    public init(executable: String? = nil, timeLimit: Int? = nil) {
        self.executable = executable
        self.timeLimit = timeLimit ?? (clinux_sanitized() ? 5000 : 1000)
    }
}

/// What a trial does beyond loading an image. The raw value is an argument of the child.
public enum ProbeTrial: String, Sendable {
    /// Calls `sluice_plugin_entry` and checks what that returns.
    case plugin
    /// Nothing: a library whose functions rules call has no entry.
    case library

    /// Whose code runs, for a message.
    var culprit: String { self == .plugin ? "a constructor or its entry" : "a constructor" }
    var hangRemedy: String {
        self == .plugin ? "move that work to `start` or `create`" : "a library of functions must load at once"
    }
    var crashRemedy: String {
        self == .plugin ? "debug it with `sluice plugin inspect`" : "load it in a debugger"
    }
}

/// Descriptors and bounds that the two processes agree on.
enum ProbeChannel {
    /// The sealed image.
    static let image: Int32 = 3
    /// A stream socket: the parent's token comes in, the answer goes out.
    static let answer: Int32 = 4
    /// Hexadecimal digits of 128 random bits. The child reads the token before it loads anything and begins its answer
    /// with it, so that what a plugin's constructor writes by mistake or to deceive is no answer.
    static let tokenBytes = 32
    /// An answer: 5 texts of at most 256 bytes, 16 ids of 64 and the words between; or one message of 1 KiB characters.
    static let maximumAnswer = 16 << 10
    /// Of what the child wrote to its standard error: enough for the last words of a runtime.
    static let maximumDiagnostics = 4 << 10
}

/// The file of this process.
public enum OwnExecutable {
    /// The path by which the process was found at its start, as long as the same file is there, else the kernel's link
    /// to what runs. The link would do for both, were it not that emulators (valgrind) run as somebody else.
    public static var path: String { atStart == identity(of: name) && atStart != nil ? name : link }

    private static let link = "/proc/self/exe"
    private static let name: String = Program.executable
    private static let atStart: [Int]? = identity(of: name)

    private static func identity(of path: String) -> [Int]? {
        var information = stat()
        guard stat(path, &information) == 0 else { return nil }
        return [Int(information.st_dev), Int(information.st_ino), information.st_mtim.tv_sec, information.st_size]
    }
}
