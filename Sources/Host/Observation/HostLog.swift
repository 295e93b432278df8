import Configuration
import Glibc
import Logging
import SluiceABI
import Synchronization

/// The process's log on standard error. Messages come from swift-log's loggers and, through `write`, from plugins and
/// workers, which must not allocate. Nobody logs the value of a header field, a body or a configuration's `config:`
/// tree: they hold secrets.
enum HostLog {
    private static let room = Atomic(LogRing.capacity(of: Settings.Monitoring().logBufferBytes))

    static let writer = LogWriter(descriptor: STDERR_FILENO, capacity: room.load(ordering: .relaxed))

    /// Gives lines that wait to be written at least so many bytes, at most 2^62. The ring is made with the first
    /// message: called behind it, this has no effect. [main]
    static func reserve(_ bytes: Int) { room.store(LogRing.capacity(of: bytes), ordering: .relaxed) }

    /// The host's own logger, for code off the hot path.
    static let logger = Logger(label: "sluice", factory: { HostLogHandler(label: $0, writer: writer) })

    /// Makes the log that of swift-log, too, and starts to write. Once. [main]
    static func start(_ settings: Settings.Monitoring) {
        configure(settings)
        LoggingSystem.bootstrap { HostLogHandler(label: $0, writer: writer) }
        let error = writer.start()
        if error != 0 {
            let reason = "sluice: cannot start the log's thread: \(String(cString: strerror(error)))\n"
            _ = reason.withCString { Glibc.write(STDERR_FILENO, $0, strlen($0)) }
        }
    }

    /// Level and format of a new generation. [any]
    static func configure(_ settings: Settings.Monitoring) {
        writer.configure(
            level: level(named: settings.logLevel) ?? .info, format: settings.logFormat == .json ? .json : .text)
    }

    /// Writes what is queued and stops. [main]
    static func stop() { writer.stop() }

    /// Messages dropped since the process began. [any]
    static var dropped: UInt64 { writer.dropped }

    /// `sluice_log.enabled`. [any]
    @inline(__always)
    static func enabled(_ level: UInt32) -> Bool {
        writer.enabled(rank: rank(level))
    }

    /// `sluice_log.write`: copies `message`, whose source is the name of a plugin in the configuration. [any]
    static func write(_ level: UInt32, source: UnsafeRawBufferPointer, message: UnsafeRawBufferPointer) {
        writer.write(rank: rank(level), source: source, message: message)
    }

    /// The same for a text that is known when the host is built. [any]
    static func write(_ level: UInt32, source: StaticString = "sluice", _ message: StaticString) {
        write(
            level, source: UnsafeRawBufferPointer(start: source.utf8Start, count: source.utf8CodeUnitCount),
            message: UnsafeRawBufferPointer(start: message.utf8Start, count: message.utf8CodeUnitCount))
    }

    /// The configured name of a level: those of swift-log. Nil when there is none by that name.
    static func level(named name: String) -> Logger.Level? { Logger.Level(rawValue: name) }

    @inline(__always)
    private static func rank(_ level: UInt32) -> UInt8 {
        switch level {
        case UInt32(SLUICE_LOG_ERROR): 1
        case UInt32(SLUICE_LOG_WARNING): 2
        case UInt32(SLUICE_LOG_INFO): 4
        default: 5
        }
    }
}

/// The border to swift-log.
struct HostLogHandler: LogHandler {
    let label: String
    let writer: LogWriter
    var metadata: Logger.Metadata = [:]
    /// A logger that asks for less than the process's level gets less; it cannot get more.
    var logLevel: Logger.Level = .trace

    init(label: String, writer: LogWriter) {
        self.label = label
        self.writer = writer
    }

    subscript(metadataKey key: String) -> Logger.Metadata.Value? {
        get { metadata[key] }
        set { metadata[key] = newValue }
    }

    func log(event: LogEvent) {
        let rank = LogFormatter.rank(event.level)
        guard writer.enabled(rank: rank) else { return }
        var pairs: [UInt8] = []
        let all = event.metadata.map { metadata.merging($0, uniquingKeysWith: { $1 }) } ?? metadata
        for (key, value) in all.sorted(by: { $0.key < $1.key }) {
            for text in [key, value.description] {
                let bytes = text.utf8.prefix(1_024)
                pairs.append(UInt8(truncatingIfNeeded: bytes.count))
                pairs.append(UInt8(truncatingIfNeeded: bytes.count >> 8))
                pairs.append(contentsOf: bytes)
            }
        }
        var label = label
        var message = event.message.description
        label.withUTF8 { label in
            message.withUTF8 { message in
                pairs.withUnsafeBytes { pairs in
                    writer.write(
                        rank: rank, source: UnsafeRawBufferPointer(label), message: UnsafeRawBufferPointer(message),
                        metadata: pairs)
                }
            }
        }
    }
}
