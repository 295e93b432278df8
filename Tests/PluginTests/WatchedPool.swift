import Foundation
import SluiceABI

/// Endpoints with addresses of their own and loads that a test sets.
final class WatchedPool {
    private let texts = CTexts()
    private let loads: UnsafeMutablePointer<sluice_load>
    let endpoints: UnsafePointer<sluice_endpoint>?
    let count: Int

    /// Ids count from 0 on where none are given.
    init(_ addresses: [String], inFlight: [UInt32], ids: [UInt64]? = nil) {
        let texts = texts
        let loads = texts.mutable(
            inFlight.map { count in
                var load = sluice_load()
                load.in_flight = count
                load.healthy = 1
                return load
            })
        self.loads = loads
        count = addresses.count
        endpoints = texts.array(
            addresses.enumerated().map { index, address in
                sluice_endpoint(
                    id: ids?[index] ?? UInt64(index), address: texts.bytes(address), weight: 1, reserved: 0,
                    load: UnsafePointer(loads + index))
            })
    }

    func setInFlight(_ index: Int, _ value: UInt32) { loads[index].in_flight = value }
}

/// An instance of the balancer that reads heads, with its pool.
final class Watcher {
    private let plugin: LoadedPlugin
    private let table: UnsafePointer<sluice_balancer_2>
    private let instance: UnsafeMutableRawPointer
    private let pool: WatchedPool

    init(_ host: FakeHost, _ config: ConfigTree, _ pool: WatchedPool, worker: UInt32 = 0) throws {
        plugin = try LoadedPlugin("QueueAware")
        table = try plugin.table(SLUICE_BALANCER_2, as: sluice_balancer_2.self)
        self.pool = pool
        let made = host.create(table.pointee.base, config: config, worker: worker, workerCount: 2, model: "m")
        guard let instance = made.instance else {
            throw LoadedPlugin.Failure(description: "\(made.status): \(host.configurationErrors) \(host.failure)")
        }
        self.instance = instance
        table.pointee.on_endpoints(instance, pool.endpoints, UInt32(pool.count))
    }

    deinit { table.pointee.base.destroy(instance) }

    func pick(_ exchange: FakeExchange = FakeExchange(), eligible: Set<Int>? = nil) -> UInt32 {
        var bits = [UInt64](repeating: 0, count: (pool.count + 63) / 64)
        let chosen = eligible ?? Set(0..<pool.count)
        for index in chosen { bits[index / 64] |= 1 << UInt64(index % 64) }
        return bits.withUnsafeBufferPointer { bits in
            var asked = sluice_pick(
                endpoints: pool.endpoints, count: UInt32(pool.count), attempt: 1, eligible: bits.baseAddress,
                eligible_count: UInt32(chosen.count), now_ms: 0)
            return table.pointee.pick(instance, exchange.handle, exchange.request, &asked)
        }
    }

    /// The endpoint answers with these fields.
    func answer(_ endpoint: Int, _ fields: [(String, String)]) {
        let texts = CTexts()
        withExtendedLifetime(texts) {
            var head = sluice_answer_head()
            head.endpoint = UInt32(endpoint)
            head.http_status = 200
            head.attempt = 1
            head.fields = texts.array(
                fields.map { sluice_field(name: texts.bytes($0.0), value: texts.bytes($0.1)) })
            head.field_count = UInt32(fields.count)
            head.first_byte_ns = 1
            table.pointee.on_head(instance, &head)
        }
    }
}

/// Answers each connection with one text, and notes what it was asked.
final class PageServer: @unchecked Sendable {
    let port: UInt16
    private let listener: Int32
    private let lock = NSLock()
    private var seen: [String] = []
    private var open: [Int32] = []

    convenience init(_ page: String) throws { try self.init(raw: "HTTP/1.0 200 OK\r\n\r\n" + page) }

    /// An empty answer is none: the connection stays open.
    init(raw answer: String) throws {
        (listener, port) = try Self.listen()
        let bytes = Array(answer.utf8)
        Thread.detachNewThread { [weak self, listener] in
            while true {
                let connection = accept(listener, nil, nil)
                guard connection >= 0 else { return }
                var buffer = [UInt8](repeating: 0, count: 4_096)
                let count = recv(connection, &buffer, buffer.count, 0)
                guard let self else { return }
                self.lock.lock()
                self.seen.append(String(decoding: buffer.prefix(max(count, 0)), as: UTF8.self))
                if bytes.isEmpty { self.open.append(connection) }
                self.lock.unlock()
                guard !bytes.isEmpty else { continue }
                _ = send(connection, bytes, bytes.count, Int32(MSG_NOSIGNAL))
                close(connection)
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
        for connection in open { close(connection) }
    }

    var requests: [String] {
        lock.lock()
        defer { lock.unlock() }
        return seen
    }

    /// A port where nobody listens.
    static func closedPort() throws -> UInt16 {
        let (descriptor, port) = try listen()
        close(descriptor)
        return port
    }

    private static func listen() throws -> (descriptor: Int32, port: UInt16) {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var size = socklen_t(MemoryLayout<sockaddr_in>.size)
        let bound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { generic in
                bind(descriptor, generic, size) == 0 && Glibc.listen(descriptor, 16) == 0
                    && getsockname(descriptor, generic, &size) == 0
            }
        }
        guard bound else { throw LoadedPlugin.Failure(description: "no port for a page server") }
        return (descriptor, UInt16(bigEndian: address.sin_port))
    }
}
