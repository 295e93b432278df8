import SluiceABI

/// How grave a line of the log is.
@frozen
public enum LogLevel: UInt32, Sendable {
    case error = 1
    case warning = 2
    case info = 3
    case debug = 4
}

/// The host's log. Bounded: when it cannot keep up, lines are dropped and counted. Any thread.
@frozen
public struct Log: @unchecked Sendable {
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    init(services: UnsafePointer<HostServices>) { self.services = services }

    /// Whether a line of this level would be written.
    @inlinable
    public func enabled(_ level: LogLevel) -> Bool {
        services.pointee.log.pointee.enabled.unsafelyUnwrapped(services.pointee.context, level.rawValue)
    }

    /// Writes a line; its text is made only when the level is enabled. A text with values allocates: not for each
    /// request.
    @inlinable
    public func write(_ level: LogLevel, _ text: @autoclosure () -> String) {
        guard enabled(level) else { return }
        var line = text()
        line.withUTF8 { write(level, Bytes(UnsafeRawBufferPointer($0))) }
    }

    /// Writes a line, which the host copies.
    @inlinable
    public func write(_ level: LogLevel, _ line: Bytes) {
        services.pointee.log.pointee.write.unsafelyUnwrapped(services.pointee.context, level.rawValue, line.raw)
    }

    /// Says why the present call is about to fail.
    @inlinable
    func fail(_ message: Bytes) {
        services.pointee.log.pointee.fail.unsafelyUnwrapped(services.pointee.context, message.raw)
    }
}
