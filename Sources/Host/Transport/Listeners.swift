import CLinux
import Glibc
import Configuration
import SluiceABI

/// The sockets that accept connections, by address; they outlive generations whose configuration keeps them. [main]
final class Listeners {
    struct Failure: Error {
        var message: String
    }

    /// One address that is listened on.
    struct Open {
        let address: Settings.ListenAddress
        let id: UInt32
        /// One for each worker, who closes it; those of a Unix socket are one socket.
        let descriptors: [Int32]
        /// As clients reach it: a port that the kernel chose is filled in.
        let text: String
        /// Held as long as the address is ours, against a second gateway; -1 for none.
        let lock: Int32
        let path: String?
        /// What stands at `path` and is ours to remove.
        var file: SocketFile?
        /// The adapter that frames raw TCP, by its name; nil for HTTP. A reload may change it.
        var adapter: String?
    }

    /// Connections that wait to be accepted; the kernel caps it at net.core.somaxconn.
    private static let backlog: Int32 = 4_096

    private(set) var open: [Open] = []
    private var nextID: UInt32 = 1
    private var names: [String: sluice_bytes] = [:]
    private let workerCount: Int

    init(workerCount: Int) { self.workerCount = workerCount }

    /// Opens those of `wanted` that are not open. All or nothing; nothing is accepted before `announce`.
    func prepare(_ wanted: [Settings.ListenerSettings]) throws(Failure) -> [Open] {
        var made: [Open] = []
        for listener in wanted where !open.contains(where: { $0.address == listener.address }) {
            do throws(Failure) {
                var opened = try listen(on: listener.address)
                opened.adapter = listener.adapter?.name
                made.append(opened)
            } catch {
                for opened in made { close(opened) }
                throw Failure(
                    message: "\(listener.position.file):\(listener.position.line):"
                        + "\(listener.position.column): error: \(error.message)")
            }
        }
        return made
    }

    /// Hands the sockets to the workers.
    func announce(_ made: [Open], to workers: [Worker]) {
        open += made
        for listener in made { send(listener, to: workers) }
    }

    /// Tells the workers of listeners that stay and have another adapter from now on, or none.
    func update(to wanted: [Settings.ListenerSettings], _ workers: [Worker]) {
        // Several may have the same text: those that asked for a free port. Their order tells them apart.
        var left = wanted
        for index in open.indices {
            guard let place = left.firstIndex(where: { $0.address == open[index].address }) else { continue }
            let adapter = left.remove(at: place).adapter?.name
            guard adapter != open[index].adapter else { continue }
            open[index].adapter = adapter
            send(open[index], to: workers)
        }
    }

    private func send(_ listener: Open, to workers: [Worker]) {
        let isUnix = listener.path != nil
        let adapter = listener.adapter.map(interned) ?? .empty
        for (index, worker) in workers.enumerated() {
            let pointer = UnsafeMutablePointer<WorkerListener>.allocate(capacity: 1)
            pointer.initialize(
                to: WorkerListener(
                    id: listener.id, descriptor: listener.descriptors[index], isUnix: isUnix,
                    adapter: adapter))
            worker.mailbox.send(.openListener, pointer: UnsafeMutableRawPointer(pointer))
        }
    }

    /// Connections keep the name for as long as they live, beyond the configuration that gave it. Names are the
    /// operator's: as many as adapters that listeners have had since the start.
    private func interned(_ name: String) -> sluice_bytes {
        if let known = names[name] { return known }
        let made = permanentBytes(name)
        names[name] = made
        return made
    }

    /// Lets the workers take what waits and close; the addresses are free after that.
    func retire(except wanted: [Settings.ListenerSettings], from workers: [Worker]) {
        for listener in open where !wanted.contains(where: { $0.address == listener.address }) {
            for worker in workers { worker.mailbox.send(.closeListener, value: UInt64(listener.id)) }
            release(listener)
        }
        open.removeAll { listener in !wanted.contains { $0.address == listener.address } }
    }

    /// The workers drain and close their sockets. Whoever comes next may have the paths at once: what then stands
    /// there is theirs.
    func removeFiles() {
        for index in open.indices {
            open[index].file?.remove()
            open[index].file = nil
        }
    }

    /// Gives back what is beside the sockets that the workers have closed.
    func releaseAll() {
        for listener in open { release(listener) }
        open = []
    }

    private func release(_ listener: Open) {
        listener.file?.remove()
        if listener.lock >= 0 { Glibc.close(listener.lock) }
    }

    private func close(_ listener: Open) {
        for descriptor in listener.descriptors { Glibc.close(descriptor) }
        release(listener)
    }

    /// Closes what `prepare` opened and nobody was told of.
    func discard(_ made: [Open]) {
        for listener in made { close(listener) }
    }

    // MARK: Opening

    private func listen(on address: Settings.ListenAddress) throws(Failure) -> Open {
        switch address {
        case .tcp(let host, let port): try listenTCP(address, host, port)
        case .unix(let path): try listenUnix(address, path)
        }
    }

    private func listenTCP(
        _ address: Settings.ListenAddress, _ host: String, _ port: UInt16
    ) throws(Failure) -> Open {
        guard let wanted = SocketAddress.numeric(host: host, port: port) else {
            throw Failure(message: "`\(host)` is no IPv4 or IPv6 address")
        }
        // First without SO_REUSEPORT: with it the kernel would let us share the port with a second gateway silently.
        let probe = try bound(wanted, reusePort: false)
        let actual = Self.localAddress(of: probe) ?? wanted
        Glibc.close(probe)
        // From here to the last bind a name in the abstract name space, which is the network name space's, keeps a
        // second gateway out; it goes with the process.
        let lock = try lockPort(actual)
        var descriptors: [Int32] = []
        for _ in 0..<workerCount {
            do throws(Failure) {
                let descriptor = try bound(actual, reusePort: true)
                descriptors.append(descriptor)
                guard Glibc.listen(descriptor, Self.backlog) == 0 else {
                    throw Failure(message: Self.reason("cannot listen on", actual))
                }
            } catch {
                for descriptor in descriptors { Glibc.close(descriptor) }
                Glibc.close(lock)
                throw error
            }
        }
        return Open(
            address: address, id: takeID(), descriptors: descriptors, text: Self.text(actual), lock: lock, path: nil,
            file: nil)
    }

    private func bound(_ address: SocketAddress, reusePort: Bool) throws(Failure) -> Int32 {
        let descriptor = socket(
            address.family, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { throw Failure(message: Self.reason("cannot open a socket for", address)) }
        var one: Int32 = 1
        let size = socklen_t(MemoryLayout<Int32>.size)
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &one, size)
        if reusePort { setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &one, size) }
        if address.family == AF_INET6 { setsockopt(descriptor, Int32(IPPROTO_IPV6), IPV6_V6ONLY, &one, size) }
        guard address.withPointer({ bind(descriptor, $0, $1) }) == 0 else {
            let message = Self.reason("cannot bind", address)
            Glibc.close(descriptor)
            throw Failure(message: message)
        }
        return descriptor
    }

    private func lockPort(_ address: SocketAddress) throws(Failure) -> Int32 {
        let name = "\u{0}sluice/listen/\(Self.text(address))"
        let descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0, let place = SocketAddress.unix(name),
            place.withPointer({ bind(descriptor, $0, $1) }) == 0
        else {
            if descriptor >= 0 { Glibc.close(descriptor) }
            throw Failure(
                message: "another sluice listens on \(Self.text(address)); stop it, or choose another port")
        }
        return descriptor
    }

    private func listenUnix(_ address: Settings.ListenAddress, _ path: String) throws(Failure) -> Open {
        guard let place = SocketAddress.unix(path) else {
            throw Failure(message: "the socket path `\(path)` is empty or longer than 107 bytes")
        }
        try removeStale(path, place)
        let descriptor = socket(
            AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0, place.withPointer({ bind(descriptor, $0, $1) }) == 0,
            Glibc.listen(descriptor, Self.backlog) == 0
        else {
            let message = "cannot listen on unix:\(path): \(String(cString: strerror(clinux_errno())))"
            if descriptor >= 0 { Glibc.close(descriptor) }
            throw Failure(message: message)
        }
        let file = SocketFile(path: path)
        // One for each worker to close, so that none is left with a number that is another's by then.
        var descriptors = [descriptor]
        while descriptors.count < workerCount {
            let copy = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
            guard copy >= 0 else {
                let message = "cannot listen on unix:\(path): \(String(cString: strerror(clinux_errno())))"
                for copy in descriptors { Glibc.close(copy) }
                file?.remove()
                throw Failure(message: message)
            }
            descriptors.append(copy)
        }
        return Open(
            address: address, id: takeID(), descriptors: descriptors, text: "unix:\(path)", lock: -1, path: path,
            file: file)
    }

    /// Takes away what a process that died left at `path`; what may be another's is left, and an error.
    private func removeStale(_ path: String, _ place: SocketAddress) throws(Failure) {
        var information = stat()
        guard lstat(path, &information) == 0 else { return }
        guard information.st_mode & S_IFMT == S_IFSOCK else {
            throw Failure(message: "`\(path)` exists and is no socket; move it away")
        }
        let found = SocketFile(path: path)
        let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
        let probe = socket(AF_UNIX, kind, 0)
        let code = place.withPointer { connect(probe, $0, $1) } == 0 ? 0 : clinux_errno()
        if probe >= 0 { Glibc.close(probe) }
        switch code {
        case ECONNREFUSED: found?.remove()
        case ENOENT: break
        // A full queue of connections is somebody's, who only does not accept at present.
        case 0, EAGAIN: throw Failure(message: "another process listens on unix:\(path); stop it first")
        default:
            throw Failure(
                message: "whether unix:\(path) is in use cannot be told (\(String(cString: strerror(code)))); move it "
                    + "away, or choose another path")
        }
    }

    private func takeID() -> UInt32 {
        defer { nextID += 1 }
        return nextID
    }

    private static func localAddress(of descriptor: Int32) -> SocketAddress? {
        var address = SocketAddress()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let status = withUnsafeMutablePointer(to: &address.storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(descriptor, $0, &length) }
        }
        address.length = length
        return status == 0 ? address : nil
    }

    static func text(_ address: SocketAddress) -> String {
        let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: 64)
        defer { memory.deallocate() }
        return sluice_bytes(memory, address.write(to: memory)).text
    }

    private static func reason(_ what: String, _ address: SocketAddress) -> String {
        let code = clinux_errno()
        let remedy = code == EADDRINUSE ? "; stop what listens there, or choose another port" : ""
        return "\(what) \(text(address)): \(String(cString: strerror(code)))\(remedy)"
    }
}
