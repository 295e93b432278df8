import Glibc
import RateLimitProtocol
import SluicePlugin

/// A connection to Redis that is used for one command at a time and waits no longer than it is told to. One thread.
final class RedisConnection {
    struct Failure: Error {
        /// For the operator; holds no secret.
        let text: String
        /// The whole command was handed over, and no reply came: it may have been carried out, or may yet be.
        var isSent = false
    }

    private let descriptor: Int32
    /// Milliseconds for connecting, and for each answer.
    private let timeout: Int
    /// Nothing is waited for beyond it.
    private let signal: StopSignal
    private var received: [UInt8] = []

    /// Connects, says who it is and which database it means, and waits for a sign of life: a Redis that is stopped
    /// takes connections all the same, and carries out what was sent over each of them when it goes on.
    /// - Parameter names: asked for the addresses of a host, which is not waited for longer than for the rest.
    init(_ options: FleetOptions, _ names: NameLookups, _ signal: StopSignal) throws(Failure) {
        timeout = options.timeout
        self.signal = signal
        let deadline = StopSignal.now + Self.nanoseconds(timeout)
        let places =
            switch options.place {
            case .unix(let path): ResolvedAddress(unixPath: path).map { [$0] } ?? []
            case .tcp(let host, let port):
                names.wait(for: host, port: port, signal, milliseconds: timeout)
            }
        do throws(ResolvedAddress.ConnectFailure) {
            descriptor = try ResolvedAddress.connect(toFirstOf: places, signal, deadline: deadline)
        } catch {
            guard case .text(let text) = error else { throw Failure(text: Self.stopped) }
            throw Failure(text: text)
        }
        if !options.password.isEmpty {
            let name = options.username.isEmpty ? [] : [options.username]
            try expectOK(RESPWriter.command(["AUTH"] + name + [options.password]), "it does not take the password")
        }
        if options.database != 0 {
            try expectOK(RESPWriter.command(["SELECT", "\(options.database)"]), "it has no such database")
        }
        switch try ask(RESPWriter.command(["PING"])) {
        case .simple("PONG"): break
        case .error(let text): throw Failure(text: "it refuses: \(Self.printable(text))")
        default: throw Failure(text: "its answer is none to a PING")
        }
    }

    deinit { close(descriptor) }

    private func expectOK(_ command: [UInt8], _ problem: String) throws(Failure) {
        switch try ask(command) {
        case .simple("OK"): return
        // Redis does not repeat a password in its errors.
        case .error(let text): throw Failure(text: "\(problem): \(Self.printable(text))")
        default: throw Failure(text: problem)
        }
    }

    /// Sends a command and waits for its reply.
    func ask(_ command: [UInt8]) throws(Failure) -> RESPValue {
        let deadline = StopSignal.now + Self.nanoseconds(timeout)
        try hand(command, until: deadline)
        do throws(Failure) { return try reply(until: deadline) } catch {
            throw Failure(text: error.text, isSent: true)
        }
    }

    private func hand(_ command: [UInt8], until deadline: UInt64) throws(Failure) {
        var sent = 0
        while sent < command.count {
            let count = command.withUnsafeBytes { bytes in
                send(descriptor, bytes.baseAddress! + sent, bytes.count - sent, Int32(MSG_NOSIGNAL))
            }
            if count >= 0 {
                sent += count
            } else if errno == EAGAIN {
                try wait(POLLOUT, until: deadline, "it does not read")
            } else if errno != EINTR {
                throw Failure(text: "cannot send: \(Self.lastError)")
            }
        }
    }

    private func reply(until deadline: UInt64) throws(Failure) -> RESPValue {
        var piece = [UInt8](repeating: 0, count: 16_384)
        while true {
            switch received.withUnsafeBytes({ RESPReader.first(in: $0) }) {
            case .value(let value, let size):
                received.removeFirst(size)
                return value
            case .malformed: throw Failure(text: "its answer is none of Redis' protocol")
            case .incomplete: break
            }
            let count = recv(descriptor, &piece, piece.count, 0)
            if count > 0 {
                received += piece[..<count]
            } else if count == 0 {
                throw Failure(text: "it closed the connection")
            } else if errno == EAGAIN {
                try wait(POLLIN, until: deadline, "no answer within \(timeout) ms")
            } else if errno != EINTR {
                throw Failure(text: "cannot read: \(Self.lastError)")
            }
        }
    }

    private func wait(_ events: Int32, until deadline: UInt64, _ problem: String) throws(Failure) {
        let left = deadline - min(deadline, StopSignal.now)
        guard left > 0 else { throw Failure(text: problem) }
        switch signal.wait(for: descriptor, events: events, milliseconds: Int((left + 999_999) / 1_000_000)) {
        case .ready: return
        case .timedOut: throw Failure(text: problem)
        case .stopped: throw Failure(text: Self.stopped)
        }
    }

    private static let stopped = "it is not waited for any longer"

    private static func nanoseconds(_ milliseconds: Int) -> UInt64 { UInt64(milliseconds) * 1_000_000 }

    /// What a server says, for a line of the log.
    static func printable(_ text: String) -> String {
        String(decoding: text.utf8.prefix(200).map { $0 >= 0x20 && $0 < 0x7F ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }

    private static var lastError: String { String(cString: strerror(errno)) }
}
