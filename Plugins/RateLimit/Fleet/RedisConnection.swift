import Glibc
import RateLimitProtocol

/// A connection to Redis that is used for one command at a time and waits no longer than it is told to. One thread.
final class RedisConnection {
    struct Failure: Error {
        /// For the operator; holds no secret.
        let text: String
    }

    private let descriptor: Int32
    /// Milliseconds for connecting, and for each answer.
    private let timeout: Int
    private var received: [UInt8] = []

    /// Connects, says who it is and which database it means.
    init(_ options: FleetOptions) throws(Failure) {
        guard let place = SocketPlace(options.place) else { throw Failure(text: "its name has no address") }
        timeout = options.timeout
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        descriptor = socket(place.family, kind, 0)
        guard descriptor >= 0 else { throw Failure(text: "no socket: \(Self.lastError)") }
        let deadline = Self.now + Int64(timeout)
        if place.withPointer({ connect(descriptor, $0, $1) }) != 0 {
            // A Unix socket whose queue is full says EAGAIN, and does not tell when it has room.
            guard errno == EINPROGRESS else { throw Failure(text: "cannot connect: \(Self.lastError)") }
            try wait(POLLOUT, until: deadline, "it does not answer")
            var code: Int32 = 0
            var size = socklen_t(MemoryLayout<Int32>.size)
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &code, &size)
            guard code == 0 else { throw Failure(text: "cannot connect: \(String(cString: strerror(code)))") }
        }
        if !options.password.isEmpty {
            let name = options.username.isEmpty ? [] : [options.username]
            try expectOK(RESPWriter.command(["AUTH"] + name + [options.password]), "it does not take the password")
        }
        if options.database != 0 {
            try expectOK(RESPWriter.command(["SELECT", "\(options.database)"]), "it has no such database")
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

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
        let deadline = Self.now + Int64(timeout)
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

    private func wait(_ events: Int32, until deadline: Int64, _ problem: String) throws(Failure) {
        while true {
            let left = deadline - Self.now
            guard left > 0 else { throw Failure(text: problem) }
            var watched = pollfd(fd: descriptor, events: Int16(events), revents: 0)
            if poll(&watched, 1, Int32(clamping: left)) > 0 { return }
        }
    }

    /// What a server says, for a line of the log.
    static func printable(_ text: String) -> String {
        String(decoding: text.utf8.prefix(200).map { $0 >= 0x20 && $0 < 0x7F ? $0 : UInt8(ascii: "?") }, as: UTF8.self)
    }

    private static var lastError: String { String(cString: strerror(errno)) }

    /// Milliseconds of the monotonic clock.
    private static var now: Int64 {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Int64(time.tv_sec) * 1_000 + Int64(time.tv_nsec) / 1_000_000
    }
}
