import CLinux
import Glibc
import Configuration
import SluiceABI
import Synchronization

/// What all workers and all generations know of one endpoint: its address and its load. Made on the main thread, never
/// freed, so that counts outlive reloads; the registry bounds how many there can be.
struct Endpoint {
    /// Index into every worker's table of connection pools.
    let index: Int
    let address: SocketAddress
    /// By prior knowledge (RFC 9113 §3.3).
    let speaksHTTP2: Bool
    /// As configured; static.
    let text: sluice_bytes
    /// What goes into a Host field made by the gateway.
    let authority: sluice_bytes
    /// The host alone, ended by NUL: what TLS asks for and checks.
    let hostName: UnsafePointer<CChar>
    /// One cache line, see `sluice_load`.
    let load: UnsafeMutablePointer<sluice_load>

    var inFlight: UnsafeMutablePointer<Atomic<UInt32>> {
        UnsafeMutableRawPointer(load).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
    private func cell(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        (UnsafeMutableRawPointer(load) + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }
    private var ewma: UnsafeMutablePointer<Atomic<UInt64>> { cell(8) }
    private var requests: UnsafeMutablePointer<Atomic<UInt64>> { cell(16) }
    private var failures: UnsafeMutablePointer<Atomic<UInt64>> { cell(24) }
    private var lastFailure: UnsafeMutablePointer<Atomic<UInt64>> { cell(32) }

    /// As the last check saw it, of whichever pool: for plugins that look. What may be picked they are told with each
    /// pick. [worker]
    func setHealthy(_ isHealthy: Bool) {
        let cell = (UnsafeMutableRawPointer(load) + 4).assumingMemoryBound(to: Atomic<UInt32>.self)
        cell.pointee.store(isHealthy ? 1 : 0, ordering: .relaxed)
    }

    /// [worker]
    func attemptBegins() {
        inFlight.pointee.wrappingAdd(1, ordering: .relaxed)
        requests.pointee.wrappingAdd(1, ordering: .relaxed)
    }

    /// `firstByte` in nanoseconds, 0 when no answer came. Inlined, or the whole endpoint would be copied. [worker]
    @inline(__always)
    func attemptEnds(firstByte: UInt64, failed: Bool, now: UInt64) {
        inFlight.pointee.wrappingSubtract(1, ordering: .relaxed)
        if failed {
            failures.pointee.wrappingAdd(1, ordering: .relaxed)
            lastFailure.pointee.store(now, ordering: .relaxed)
        } else if firstByte > 0 {
            // An average over about the last eight answers. Two workers may overwrite each other's sample: harmless.
            let old = ewma.pointee.load(ordering: .relaxed)
            let new = old == 0 ? firstByte : old &- old / 8 &+ firstByte / 8
            ewma.pointee.store(new, ordering: .relaxed)
        }
    }
}

/// All endpoints that any generation has named. The main thread's own.
final class EndpointRegistry {
    /// Distinct addresses in the life of a process, as many as the workers' tables have room for. A fleet of a few
    /// hundred replicas that are all replaced every day fills it in weeks; then a restart is due.
    static let bound = 16_384

    enum Failure: Error { case tooMany, unresolvable(String) }

    private(set) var endpoints: [UnsafeMutablePointer<Endpoint>] = []
    private var byText: [String: Int] = [:]

    func endpoint(for settings: Settings.EndpointSettings) -> Result<UnsafeMutablePointer<Endpoint>, Failure> {
        if let index = byText[settings.text] { return .success(endpoints[index]) }
        guard endpoints.count < Self.bound else { return .failure(.tooMany) }
        let address: SocketAddress?
        let authority: String
        let hostName: String
        switch settings.target {
        case .tcp(let host, let port):
            hostName = host
            address = SocketAddress.resolve(host: host, port: port)
            authority = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path):
            address = SocketAddress.unix(path)
            authority = "localhost"
            hostName = authority
        }
        guard let address else { return .failure(.unresolvable(settings.text)) }
        let load = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 64)
            .bindMemory(to: sluice_load.self, capacity: 1)
        load.initialize(to: sluice_load())
        load.pointee.healthy = 1
        let endpoint = UnsafeMutablePointer<Endpoint>.allocate(capacity: 1)
        endpoint.initialize(
            to: Endpoint(
                index: endpoints.count, address: address, speaksHTTP2: settings.scheme.speaksHTTP2,
                text: permanentBytes(settings.text),
                authority: permanentBytes(authority), hostName: permanentText(hostName), load: load))
        byText[settings.text] = endpoints.count
        endpoints.append(endpoint)
        return .success(endpoint)
    }
}

/// The same, ended by NUL. [main]
func permanentText(_ text: String) -> UnsafePointer<CChar> {
    permanentBytes(text + "\u{0}").data.unsafelyUnwrapped.withMemoryRebound(to: CChar.self, capacity: 1) { $0 }
}

/// A copy of `text` that is never freed, for names that outlive generations. [main]
func permanentBytes(_ text: String) -> sluice_bytes {
    let bytes = Array(text.utf8)
    let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: max(bytes.count, 1))
    memory.update(from: bytes, count: bytes.count)
    return sluice_bytes(data: UnsafePointer(memory), size: bytes.count)
}
