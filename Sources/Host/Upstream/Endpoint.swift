import CLinux
import Glibc
import Configuration
import SluiceABI
import Synchronization

/// What all workers and all generations know of one endpoint: its address and its load. Made on the main thread. It
/// outlives reloads; when nothing has named it for a while its place is used for another one (`EndpointRegistry`).
struct Endpoint {
    /// Index into every worker's table of connection pools.
    let index: Int
    /// How many endpoints had the place before.
    let life: UInt32
    let address: SocketAddress
    /// By prior knowledge (RFC 9113 §3.3).
    let speaksHTTP2: Bool
    /// As configured.
    let text: sluice_bytes
    /// What goes into a Host field made by the gateway.
    let authority: sluice_bytes
    /// The host alone, ended by NUL: what TLS asks for and checks.
    let hostName: UnsafePointer<CChar>
    /// One cache line, see `sluice_load`.
    let load: UnsafeMutablePointer<sluice_load>

    /// As plugins see it: no two addresses ever have the same.
    var id: UInt64 { UInt64(life) << 32 | UInt64(index) }

    var inFlight: UnsafeMutablePointer<Atomic<UInt32>> {
        UnsafeMutableRawPointer(load).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
    /// Calls at once on one connection of HTTP/2, as the endpoint said last, which it does at the beginning of each
    /// connection (RFC 9113 §3.4); 0 until it has said so the first time, `noCalls` while it bears none. [worker]
    var callsToldEach: Int {
        get { Int(cell(64).pointee.load(ordering: .relaxed)) }
        nonmutating set {
            guard cell(64).pointee.exchange(UInt64(newValue), ordering: .relaxed) != UInt64(newValue) else { return }
            Self.callsChanged.wrappingAdd(1, ordering: .relaxed)
        }
    }
    /// There are as many connections as there may be, and they bear no further call at present.
    static let noCalls = Int(UInt32.max)
    /// The same, 1 until the endpoint has said more: what a pool counts on. [worker]
    var callsEach: Int {
        let told = callsToldEach
        return told == Self.noCalls ? 0 : max(told, 1)
    }
    /// Counts the changes of `callsToldEach` of all endpoints, from 1: what workers have added up holds until the next.
    static let callsChanged = Atomic<UInt64>(1)
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
