import COpenSSL
import EtcdDiscoveryCodec
import Glibc
import SluicePlugin

/// Why a member is not followed, for now.
enum EtcdTrouble: Error {
    case text(String)
    /// An answer has more bytes than are taken.
    case tooLarge(String)
    /// The discovery is to end.
    case stopped

    init(_ fault: EtcdFault) { self = fault.isTooLarge ? .tooLarge(fault.message) : .text(fault.message) }
}

/// One connection to a member, over TCP or TLS. Nothing on it waits longer than it is told to, nor beyond the signal.
/// On the discovery's own thread.
struct EtcdConnection: ~Copyable {
    private let socket: Int32
    private let ssl: OpaquePointer?
    private let signal: StopSignal
    private var buffer = [UInt8](repeating: 0, count: 65_536)

    enum Received {
        case bytes(ArraySlice<UInt8>)
        case end
        case nothing
    }

    /// - Parameter deadline: of the monotonic clock, in nanoseconds.
    init(
        _ member: EtcdMember, _ places: [ResolvedAddress], _ tls: EtcdTLS?, _ signal: StopSignal, deadline: UInt64
    ) throws(EtcdTrouble) {
        self.signal = signal
        let connected: Int32
        do throws(ResolvedAddress.ConnectFailure) {
            connected = try ResolvedAddress.connect(toFirstOf: places, signal, deadline: deadline)
        } catch {
            switch error {
            case .text(let text): throw .text(text)
            case .stopped: throw .stopped
            }
        }
        var session: OpaquePointer?
        do throws(EtcdTrouble) {
            if let tls {
                let made = try tls.session(connected, host: member.host)
                session = made
                try Self.shakeHands(made, connected, signal, deadline)
            }
        } catch {
            if let session { SSL_free(session) }
            close(connected)
            throw error
        }
        (socket, ssl) = (connected, session)
    }

    deinit {
        if let ssl { SSL_free(ssl) }
        close(socket)
    }

    private static func shakeHands(
        _ ssl: OpaquePointer, _ socket: Int32, _ signal: StopSignal, _ deadline: UInt64
    ) throws(EtcdTrouble) {
        while true {
            ERR_clear_error()
            let status = SSL_connect(ssl)
            if status == 1 { return }
            switch SSL_get_error(ssl, status) {
            case SSL_ERROR_WANT_READ: try wait(socket, POLLIN, signal, deadline)
            case SSL_ERROR_WANT_WRITE: try wait(socket, POLLOUT, signal, deadline)
            default: throw .text("TLS: \(EtcdTLS.reason(ssl))")
            }
        }
    }

    // MARK: Bytes

    func send(_ bytes: [UInt8], deadline: UInt64) throws(EtcdTrouble) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count: Int
            if let ssl {
                ERR_clear_error()
                let written = rest.withUnsafeBytes { SSL_write(ssl, $0.baseAddress, Int32(clamping: $0.count)) }
                if written <= 0 {
                    switch SSL_get_error(ssl, written) {
                    case SSL_ERROR_WANT_READ: try wait(POLLIN, deadline)
                    case SSL_ERROR_WANT_WRITE: try wait(POLLOUT, deadline)
                    default: throw .text("it closed the connection")
                    }
                }
                count = Int(written)
            } else {
                count = rest.withUnsafeBytes { Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL)) }
                if count < 0 {
                    if errno == EAGAIN {
                        try wait(POLLOUT, deadline)
                    } else if errno != EINTR {
                        throw .text("it closed the connection: \(Self.reason(errno))")
                    }
                }
            }
            if count > 0 { rest = rest.dropFirst(count) }
        }
    }

    /// Waits for bytes until `deadline`, and for none at all when that has passed.
    mutating func receive(deadline: UInt64) throws(EtcdTrouble) -> Received {
        while true {
            var events = POLLIN
            if let ssl {
                ERR_clear_error()
                let count = SSL_read(ssl, &buffer, Int32(buffer.count))
                if count > 0 { return .bytes(buffer[..<Int(count)]) }
                switch SSL_get_error(ssl, count) {
                case SSL_ERROR_WANT_READ: break
                case SSL_ERROR_WANT_WRITE: events = POLLOUT
                case SSL_ERROR_ZERO_RETURN: return .end
                default: throw .text("it broke the connection off")
                }
            } else {
                let count = recv(socket, &buffer, buffer.count, 0)
                if count > 0 { return .bytes(buffer[..<count]) }
                if count == 0 { return .end }
                if errno == EINTR { continue }
                guard errno == EAGAIN else { throw .text("it broke the connection off: \(Self.reason(errno))") }
            }
            switch signal.wait(for: socket, events: events, milliseconds: Self.left(deadline)) {
            case .ready: break
            case .timedOut: return .nothing
            case .stopped: throw .stopped
            }
        }
    }

    private func wait(_ events: Int32, _ deadline: UInt64) throws(EtcdTrouble) {
        try Self.wait(socket, events, signal, deadline)
    }

    private static func wait(
        _ socket: Int32, _ events: Int32, _ signal: StopSignal, _ deadline: UInt64
    ) throws(EtcdTrouble) {
        switch signal.wait(for: socket, events: events, milliseconds: left(deadline)) {
        case .ready: return
        case .timedOut: throw .text("it does not answer in time")
        case .stopped: throw .stopped
        }
    }

    private static func left(_ deadline: UInt64) -> Int {
        let now = StopSignal.now
        return now >= deadline ? 0 : Int((deadline - now + 999_999) / 1_000_000)
    }

    private static func reason(_ status: Int32) -> String { String(cString: strerror(status)) }
}
