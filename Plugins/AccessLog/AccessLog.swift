import SluicePlugin

/// One line for each exchange, as JSON or text, to a file, stdout or stderr.
///
/// The worker only formats a line into memory. A thread of the host's pool writes, when a buffer is half full or after
/// `flush_ms`. When the disk is slower than the traffic, lines are dropped and counted; the worker never waits. A file
/// is opened anew by each generation, so that a reload follows a log that was rotated.
///
///     config: { path: /var/log/sluice/access.log, format: json, flush_ms: 1000, buffer_bytes: 524288 }
struct AccessLog: Observer {
    static let plugin = PluginDescription(
        name: "access-log", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let buffers: LineBuffers
    private let format: LineFormat
    private let host: Host

    init(_ context: Context) throws(PluginError) {
        let config = context.config
        try config.allow(["path", "format", "flush_ms", "buffer_bytes"])
        let path = try config.text("path", default: "stdout")
        switch try config.text("format", default: "json") {
        case "json": format = .json
        case "text": format = .text
        case let other: throw config["format"].error("'\(other)' is no format: expected json or text")
        }
        // A second of log is what a crash of the process may cost.
        let delay = UInt64(try config.integer("flush_ms", default: 1000, in: 1...60_000)) * 1_000_000
        // Twice 512 KiB a worker hold about 3,500 lines of 300 bytes: some 70 ms of a worker's 50,000 requests a
        // second.
        let size = Int(try config.integer("buffer_bytes", default: 524_288, in: 65_536...16_777_216))
        let dropped = try context.metrics.counter(
            "access_log_dropped_total", "Lines that were dropped because the log could not be written fast enough.")
        let failed = try context.metrics.counter(
            "access_log_failed_writes_total", "Writes of the access log that failed.")
        if !["stdout", "stderr"].contains(path), !path.hasPrefix("/") {
            throw config["path"].error("the path must be absolute, stdout or stderr")
        }
        let output = LogOutput(path)
        if let reason = output.obstacle {
            throw config["path"].error("'\(path)' cannot be opened for writing: \(reason)")
        }
        host = context.host
        buffers = LineBuffers(
            output: output, host: context.host, size: size, delay: delay, dropped: dropped, failed: failed)
    }

    mutating func exchangeFinished(_ summary: Summary) {
        guard var line = buffers.line() else { return }
        switch format {
        case .json: line.appendJSON(summary)
        case .text: line.appendText(summary)
        }
        buffers.end(line)
    }
}

/// How a line looks.
enum LineFormat {
    case json
    case text
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, AccessLog.self) }
