import Glibc
import SluicePlugin

/// An address as a socket takes it.
struct SocketPlace: Sendable {
    private(set) var storage = sockaddr_storage()
    private(set) var size: socklen_t = 0

    var family: Int32 { Int32(storage.ss_family) }

    /// Asks the system's resolver, which may take its time unless the host is a numeric address.
    static func found(host: String, port: UInt16, isNumeric: Bool) -> [SocketPlace] {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV | (isNumeric ? AI_NUMERICHOST : 0)
        var list: UnsafeMutablePointer<addrinfo>?
        guard getaddrinfo(host, String(port), &hints, &list) == 0 else { return [] }
        defer { freeaddrinfo(list) }
        var found: [SocketPlace] = []
        var next = list
        // A name with more addresses than that is no member of a cluster.
        while let entry = next, found.count < 8 {
            next = entry.pointee.ai_next
            guard let address = entry.pointee.ai_addr,
                entry.pointee.ai_addrlen <= MemoryLayout<sockaddr_storage>.size
            else { continue }
            var place = SocketPlace()
            place.size = entry.pointee.ai_addrlen
            withUnsafeMutableBytes(of: &place.storage) {
                $0.copyMemory(from: UnsafeRawBufferPointer(start: address, count: Int(place.size)))
            }
            found.append(place)
        }
        return found
    }

    func connect(_ socket: Int32) -> Bool {
        withUnsafePointer(to: storage) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { Glibc.connect(socket, $0, size) == 0 }
        }
    }
}

/// A question to the system's resolver, which cannot be broken off: a thread of the host's pool waits for it, and who
/// asked waits for that thread or for his own end.
final class AddressLookup: @unchecked Sendable {
    private let readEnd: Int32
    private let writeEnd: Int32
    private var mutex = pthread_mutex_t()
    private var places: [SocketPlace] = []

    /// Nil: there is no descriptor left.
    private init?() {
        var ends: [Int32] = [-1, -1]
        guard pipe(&ends) == 0 else { return nil }
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        (readEnd, writeEnd) = (ends[0], ends[1])
        pthread_mutex_init(&mutex, nil)
    }

    /// When the last of both sides has gone.
    deinit {
        close(readEnd)
        close(writeEnd)
        pthread_mutex_destroy(&mutex)
    }

    /// Empty when the host is not known, or not in time.
    static func places(
        of member: EtcdMember, _ offload: Offload, _ signal: StopSignal, milliseconds: Int
    ) -> [SocketPlace] {
        let numeric = SocketPlace.found(host: member.host, port: member.port, isNumeric: true)
        if !numeric.isEmpty { return numeric }
        guard let lookup = AddressLookup() else { return [] }
        let isQueued = offload.run {
            lookup.finish(SocketPlace.found(host: member.host, port: member.port, isNumeric: false))
        }
        guard isQueued, signal.wait(for: lookup.readEnd, events: POLLIN, milliseconds: milliseconds) == .ready else {
            return []
        }
        pthread_mutex_lock(&lookup.mutex)
        defer { pthread_mutex_unlock(&lookup.mutex) }
        return lookup.places
    }

    private func finish(_ found: [SocketPlace]) {
        pthread_mutex_lock(&mutex)
        places = found
        pthread_mutex_unlock(&mutex)
        var byte: UInt8 = 1
        _ = write(writeEnd, &byte, 1)
    }
}
