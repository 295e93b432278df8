import HTTP1
import Resilience
import SluiceABI

/// One loaded configuration as one worker sees it: flat tables without a class, a lock or a String. Made by the main
/// thread before it is published, changed by its worker alone afterwards, freed by the main thread after the last
/// exchange on it has ended.
struct WorkerGeneration {
    var number: UInt64 = 0
    /// Exchanges that began on it and have not ended.
    var exchanges = 0
    /// How many of those are copies, for which nobody waits.
    var copies = 0
    /// A newer one has taken its place.
    var retired = false
    var limits = RequestLimits()
    /// Of message heads, under these limits.
    var parser = HeadParser()

    var adapters: UnsafeMutablePointer<AdapterLink>
    /// Those of the chain; behind them come those that only endpoints or listeners of raw TCP name.
    var adapterCount = 0
    var adapterLinkCount = 0
    /// The gateway's filters, which run before routing.
    var filters = FilterChain.empty
    /// The gateway's routers.
    var routers = RouterChain.empty
    var observers: UnsafeMutablePointer<ObserverLink>
    var observerCount = 0

    var models: UnsafeMutablePointer<WorkerModel>
    var modelCount = 0
    var modelNames: NameTable
    /// The same models as plugins see them.
    var modelViews: UnsafePointer<sluice_model>
    var pools: UnsafeMutablePointer<WorkerPool>
    var poolCount = 0
    /// Listeners that speak TLS.
    var secured = UnsafeMutablePointer<SecuredListener>(bitPattern: 64).unsafelyUnwrapped
    var securedCount = 0
    /// Fields that tell of a client's certificate, in lower case; no client may send one.
    var ownFields = UnsafePointer<sluice_bytes>(bitPattern: 64).unsafelyUnwrapped
    var ownFieldCount = 0
    /// Instances whose timers fire on this worker; owned by the generation.
    var contexts: Unmanaged<InstanceContexts>?

    /// Serves nothing: what a worker has before its first generation.
    static func empty() -> UnsafeMutablePointer<WorkerGeneration> {
        let empty = UnsafeMutablePointer<WorkerGeneration>.allocate(capacity: 1)
        empty.initialize(
            to: WorkerGeneration(
                adapters: .allocate(capacity: 1), observers: .allocate(capacity: 1), models: .allocate(capacity: 1),
                modelNames: NameTable([]),
                modelViews: UnsafePointer(UnsafeMutablePointer<sluice_model>.allocate(capacity: 1)),
                pools: .allocate(capacity: 1)))
        return empty
    }
}

/// Limits of a request, in bytes, milliseconds and nanoseconds.
struct RequestLimits {
    var headerBytes = 65_536
    var http2Streams = 128
    var headerCount = 100
    var bodyBytes = 0
    /// What a compressed body may come out as: so many bytes, or so many times its own.
    var inflatedBytes = 0
    var inflationRatio = 0
    /// Copies of requests under way on one worker.
    var shadows = 0
    /// What an exchange's arena may hold: a gathered body, its decoded form, and the answer's.
    var arenaBytes = 0
    var headerTimeoutMs: UInt64 = 0
    var bodyTimeoutMs: UInt64 = 0
    var idleTimeoutMs: UInt64 = 0
    var tunnelTimeoutMs: UInt64 = 0
    var connectTimeoutMs: UInt64 = 0
    var pingIntervalMs: UInt64 = 0
    var defaultTimeoutNs: UInt64 = 0
    /// Exchanges that take longer are logged; `UInt64.max`: none.
    var slowNs = UInt64.max
}

struct AdapterLink {
    var table: UnsafePointer<sluice_adapter>
    var instance: UnsafeMutableRawPointer?
    var plugin: Int32
    /// For metrics.
    var id: Int32
    var name: sluice_bytes
    /// Those of HTTP.
    var routes: UnsafePointer<CompiledRoute>
    var routeCount: Int
    /// Those of gRPC.
    var calls: RouteList
    /// The index of its route of raw TCP; nil when it does not frame messages.
    var rawRoute: UInt32?
    /// By the adapter's own index.
    var captureCounts: UnsafePointer<Int>
    /// What all its paths begin with; empty when they have nothing in common.
    var prefix: sluice_bytes
}

struct FilterLink {
    var table: UnsafePointer<sluice_filter>
    var instance: UnsafeMutableRawPointer?
    /// What the instance names itself by when it resumes.
    var context: UnsafeMutableRawPointer?
    var plugin: Int32
    var needs: UInt32
    /// What "sluice.filter/2" has beyond the first.
    var onFailure:
        (
            @convention(c) (
                UnsafeMutableRawPointer?, OpaquePointer?, UnsafePointer<sluice_request>?, sluice_status,
                UnsafeMutablePointer<sluice_response>?
            ) -> sluice_status
        )?
    var onError: (@convention(c) (UnsafeMutableRawPointer?, OpaquePointer?, sluice_status) -> Void)?
    /// A model's, and its instance stands in the gateway's chain, too, since all who name it share it: how an exchange
    /// ended it hears there.
    var isRepeated = false
}

struct FilterChain {
    var links: UnsafeMutablePointer<FilterLink>
    var count: Int
    /// All needs of its links together.
    var needs: UInt32

    static var empty: FilterChain {
        FilterChain(links: UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped, count: 0, needs: 0)
    }
}

struct RouterLink {
    var table: UnsafePointer<sluice_router>
    var instance: UnsafeMutableRawPointer?
    /// What the instance names itself by when it resumes.
    var context: UnsafeMutableRawPointer?
    var plugin: Int32
}

struct RouterChain {
    var links: UnsafeMutablePointer<RouterLink>
    var count: Int

    static var empty: RouterChain {
        RouterChain(links: UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped, count: 0)
    }
}

struct BalancerLink {
    /// Of version 1, or what version 2 begins with.
    var table: UnsafePointer<sluice_balancer>
    var instance: UnsafeMutableRawPointer?
    var plugin: Int32
    /// Wants to see the heads of answers; of version 2 alone.
    var onHead: (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<sluice_answer_head>?) -> Void)?
}

struct BatcherLink {
    var table: UnsafePointer<sluice_batcher>
    var instance: UnsafeMutableRawPointer?
    var plugin: Int32
}

struct BackendLink {
    var table: UnsafePointer<sluice_backend>
    var instance: UnsafeMutableRawPointer?
    /// What the instance names itself by when it resumes.
    var context: UnsafeMutableRawPointer?
    var plugin: Int32
}

struct ObserverLink {
    var table: UnsafePointer<sluice_observer>
    var instance: UnsafeMutableRawPointer?
    var plugin: Int32
}

struct WorkerModel {
    var name: sluice_bytes
    /// Index of its first version's pool; the others follow in the order of the versions.
    var firstPool: UInt32
    var versionCount: UInt32
    /// Used in place of the gateway's when the model says so.
    var replacesRouters: Bool
    var routers: RouterChain
    /// These run after routing.
    var filters: FilterChain
}

/// A pool: the endpoints of one version of a model, or the backend plugin that serves it in this process.
struct WorkerPool {
    /// The generation it belongs to, of this worker.
    var generation: UnsafeMutablePointer<WorkerGeneration>
    var id: UInt32
    var model: UInt32
    var version: UInt32
    var modelName: sluice_bytes
    var versionName: sluice_bytes
    /// What outlives the generation and is shared by workers.
    var shared: UnsafeMutablePointer<SharedPool>
    /// What `endpointTable` names as a whole; another table takes its place when a discovery finds other endpoints.
    var endpoints: UnsafeMutablePointer<sluice_endpoint>
    var targets: UnsafeMutablePointer<UnsafeMutablePointer<Endpoint>>
    /// Indexes for metrics.
    var endpointMetrics: UnsafeMutablePointer<Int32>
    var endpointCount: Int
    /// What `policy` of a pool whose endpoints a discovery finds points to once they have changed.
    var endpointMembers: UnsafeMutablePointer<UnsafeMutablePointer<PoolMember>>
    var endpointMask: UnsafeMutablePointer<UInt64>
    var endpointPreferences: EndpointPreferences
    /// Counts the tables that the pool has had.
    var tableNumber: UInt32 = 0
    /// This worker's own.
    var callPlaces = CallPlaces()
    /// What its endpoints speak, also while it has none.
    var speaksHTTP2: Bool
    var balancer: BalancerLink?
    var backend: BackendLink?
    var batching: UnsafeMutablePointer<PoolBatching>?
    /// The adapter spoken toward the endpoints: an instance that may stand outside the client-side chain.
    var adapter: UnsafeMutablePointer<AdapterLink>?
    var upstreamModel: sluice_bytes
    var upstreamVersion: sluice_bytes
    var upstreamVersionIsSet: Bool
    var upstreamModelIsSet: Bool
    var timeoutNs: UInt64
    var retry = RetryLimits()
    /// Nil: no attempt is made beside another one.
    var hedging: UnsafeMutablePointer<PoolHedging>?
    /// Nil: every endpoint may always be picked.
    var policy: UnsafeMutablePointer<PoolPolicy>?
    /// Nil: errors are answered.
    var fallback: UnsafePointer<FallbackChain>?
    /// Connections to one endpoint that requests of all workers may use at once.
    var maxConnections: Int
    /// How its endpoints speak TLS, an `SSL_CTX` that the generation keeps; nil: they do not.
    var tls: OpaquePointer?
    /// The name that is asked for in place of an endpoint's host.
    var tlsName: UnsafePointer<CChar>?
    var queue: UnsafePointer<QueueLimits>
    /// Nil: nothing but the endpoints' connections limits how many requests are under way.
    var concurrency: UnsafePointer<ConcurrencyLimitSettings>?
    /// Its endpoints speak the messages of `adapter` over raw TCP.
    var isRaw: Bool
}

/// What is known of a pool across workers and generations; keyed by model and version, never freed.
struct SharedPool {
    /// Index for metrics.
    let metrics: Int32
    /// The worker that gathers its batches and has its queue.
    let homeWorker: Int
    let gate: UnsafeMutablePointer<PoolGate>
    let meter: UnsafeMutablePointer<ConcurrencyMeter>
    /// The home worker's alone.
    let home: UnsafeMutablePointer<PoolHome>
    let state: PoolState
}

/// Names to indexes: open addressing over a table twice the size, so that a look-up is one hash and about one compare.
struct NameTable {
    private let slots: UnsafeMutablePointer<UInt32>
    private let names: UnsafeMutablePointer<sluice_bytes>
    private let mask: UInt64

    init(_ texts: [sluice_bytes]) {
        var size = 8
        while size < texts.count * 2 { size *= 2 }
        mask = UInt64(size - 1)
        slots = .allocate(capacity: size)
        slots.initialize(repeating: SLUICE_NONE, count: size)
        names = .allocate(capacity: max(texts.count, 1))
        for (index, text) in texts.enumerated() {
            (names + index).initialize(to: text)
            var slot = Int(Self.hash(text) & mask)
            while slots[slot] != SLUICE_NONE { slot = (slot + 1) & Int(mask) }
            slots[slot] = UInt32(index)
        }
    }

    func deallocate() {
        slots.deallocate()
        names.deallocate()
    }

    @inline(__always)
    func find(_ text: sluice_bytes) -> UInt32 {
        var slot = Int(Self.hash(text) & mask)
        while true {
            let index = slots[slot]
            if index == SLUICE_NONE { return SLUICE_NONE }
            if names[Int(index)] == text { return index }
            slot = (slot &+ 1) & Int(mask)
        }
    }

    /// FNV-1a (Fowler, Noll, Vo). Names are the operator's, not an attacker's, and the table is never more than half
    /// full.
    @inline(__always)
    private static func hash(_ text: sluice_bytes) -> UInt64 {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        if text.size > 0, let data = text.data {
            for index in 0..<text.size {
                hash = (hash ^ UInt64(data[index])) &* 0x100_0000_01b3
            }
        }
        return hash ^ (hash >> 32)
    }
}
