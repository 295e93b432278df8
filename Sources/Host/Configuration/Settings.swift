/// The gateway's configuration, read, validated and with every default filled in: what the rest of the host sees of
/// `plugins.yaml`. Times are in milliseconds as in the file; `0` means "off" only where a comment says so.
public struct Settings: Sendable {
    public var server = Server()
    public var listeners: [ListenerSettings] = []
    public var limits = Limits()
    public var routing = Routing()
    /// Nil: no breaker (a policy that is not configured is off).
    public var circuitBreaker: CircuitBreaker?
    /// Nil: nothing is learned from answers.
    public var outlierDetection: OutlierDetection?
    /// Where the gateway runs; empty: not known.
    public var zone = ""
    /// The gateway's number in its fleet, from 0; nil: not said.
    public var instance: Int?
    public var selection = Selection()
    public var queue = Queue()
    public var concurrency: Concurrency?
    /// Nil: no batching, unless a model configures its own.
    public var batching: Batching?
    public var admin = Admin()
    public var monitoring = Monitoring()
    public var reload = Reload()
    /// Directories searched for `library:` names without a slash; absolute after reading.
    public var pluginPath: [String] = []
    /// Where each of these stands.
    public var pluginPathPositions: [Position] = []
    public var plugins: [PluginSettings] = []
    /// Functions of shared libraries that rules may call.
    public var functions: [FunctionSettings] = []
    public var pipeline = Pipeline()
    public var models: [ModelSettings] = []
    /// The file named neither `plugins` nor `pipeline`, so both come from ``ShippedChain``.
    public var usesShippedChain = false

    /// Scalars whose text came from the environment, with that text: no message about them may show it.
    public var secrets: [Position: String] = [:]

    /// Where those keys of `gateway` stand that a reload cannot change.
    var keyPositions: [String: Position] = [:]

    public init() {}

    public struct Server: Sendable {
        /// One event loop per core when nil.
        public var workerThreads: Int?
        public var maxConnections = 10_000
        public var cpuAffinity = Affinity.off
        /// Two: work of plugins that blocks waits, it does not compute.
        public var offloadThreads = 2
        /// Jobs of plugins that may wait for those threads. Where one takes a millisecond the last of a thousand waits
        /// half a second: a plugin does better to be told than to wait for longer.
        public var offloadQueue = 1_024
        /// Of one worker: 1,024 buffers of 4 KiB, so many busy connections; 128 of 64 KiB and 8 of 1 MiB.
        public var spareBufferBytes = 20 << 20
        /// Of one worker: what libnghttp2 has under way for some thousand streams.
        public var spareStreamBytes = 1 << 20
        public init() {}
    }

    public enum Affinity: Sendable, Equatable {
        case off, auto
        case cores([Int])
    }

    public struct ListenerSettings: Sendable {
        public var address: ListenAddress
        /// The adapter that frames raw TCP; nil for HTTP.
        public var adapter: PluginReference?
        /// Nil: no TLS.
        public var tls: ListenerTLS?
        public var position: Position
        public init(address: ListenAddress, position: Position) {
            self.address = address
            self.position = position
        }
    }

    public enum ListenAddress: Sendable, Hashable {
        /// A numeric IPv4 or IPv6 address and a port; port 0 asks the kernel for a free one.
        case tcp(host: String, port: UInt16)
        case unix(path: String)
    }

    public struct Limits: Sendable {
        public var headerBytes = 65_536
        /// Of one HTTP/2 connection at once: what browsers, gRPC and nginx take for enough.
        public var http2Streams = 128
        public var headerCount = 100
        /// Of one worker: each has its request's body and a connection. A plugin that copies bounds its own below that.
        public var shadows = 256
        public var bodyBytes = 268_435_456
        /// A worker inflates as much in 25 to 60 ms, which those beside it hardly notice. Bombs come out a thousand
        /// times as large, so that few bytes take no more than this.
        public var inflatedBytes = 16_777_216
        /// Text of numbers comes out at up to 10 times its size, tensors at less: large bodies are held to this.
        public var inflationRatio = 16
        public var headerTimeoutMs = 10_000
        /// Between two reads of a body.
        public var bodyTimeoutMs = 10_000
        public var idleTimeoutMs = 75_000
        /// Between two bytes of a tunnel, whichever way: servers of WebSocket ping several times in as long.
        public var tunnelTimeoutMs = 300_000
        public init() {}
    }

    public struct Routing: Sendable {
        public var defaultTimeoutMs = 60_000
        /// Nil: no retries but the resend on a kept-alive connection that turned out to be closed.
        public var retry: Retry?
        /// Nil: no second attempt beside one that is slow.
        public var hedge: Hedge?
        public var connectTimeoutMs = 1_000
        /// What servers of gRPC permit without data (`grpc.http2.min_ping_interval_without_data_ms`).
        public var http2PingIntervalMs = 300_000
        public init() {}
    }

    public struct Queue: Sendable, Equatable {
        public enum WhenFull: String, Sendable, CaseIterable {
            case reject
            case dropOldest = "drop_oldest"
            case dropLowest = "drop_lowest"
        }
        public var maxSize = 10_000
        public var whenFull = WhenFull.reject
        /// For each such time that it waits a request moves up one priority; 0: it never does.
        public var ageingMs = 1_000
        /// Tenants that are told apart at one time.
        public var tenants = 64
        /// Shares of tenants; of all others 1.
        public var tenantWeights: [(tenant: String, weight: Int)] = []
        public var shedding: Shedding?
        public init() {}

        public static func == (one: Self, other: Self) -> Bool {
            one.maxSize == other.maxSize && one.whenFull == other.whenFull && one.ageingMs == other.ageingMs
                && one.tenants == other.tenants && one.shedding == other.shedding
                && one.tenantWeights.elementsEqual(other.tenantWeights, by: ==)
        }
    }

    /// Which requests are refused before the queue is full, and when.
    public struct Shedding: Sendable, Equatable {
        /// How full the queue is, in percent, when the least urgent are refused.
        public var startPercent = 70.0
        /// The longest wait that counts as a full queue; 0: its length alone counts.
        public var targetWaitMs = 0
        /// What those who are refused are told to wait, in seconds.
        public var retryAfterSec = 1
        public var maxRetryAfterSec = 10
        public init() {}
    }

    /// How many requests of a pool may be under way at once.
    public struct Concurrency: Sendable, Equatable {
        public enum Algorithm: String, Sendable, CaseIterable { case fixed, gradient2, vegas }
        public var algorithm = Algorithm.gradient2
        /// At the beginning; what `fixed` stays at.
        public var limit = 20
        public var minimum = 4
        public var maximum = 1_000
        public var windowMs = 100
        public var minimumRequests = 10
        public init() {}
    }

    public struct Batching: Sendable, Equatable {
        public var maxBatchSize = 16
        public var maxDelayMs = 10.0
        /// Where it stands in the file.
        public var position: Position?
        public init() {}
    }

    public struct Admin: Sendable {
        /// Absolute after reading.
        public var socket = ""
        /// What the file says of it could be read, whatever is wrong elsewhere.
        var isKnown = true
        public init() {}
    }

    public struct Monitoring: Sendable {
        /// Nil: no metrics listener. 0 asks the kernel for a free port.
        public var metricsPort: UInt16?
        /// Where metrics are served; loopback unless said.
        public var metricsAddress = "127.0.0.1"
        public var slowRequestMs: Int?
        public var logLevel = "info"
        public var logFormat = LogFormat.text
        /// Some 5,000 lines of an access log: a fifth of a second at the rate at which a worker is saturated, which is
        /// longer than a terminal or a journal stalls.
        public var logBufferBytes = 1 << 20
        public init() {}
    }

    public enum LogFormat: String, Sendable, CaseIterable { case text, json }

    public struct Reload: Sendable {
        /// How long a retired generation may keep exchanges that never end.
        public var drainTimeoutMs = 30_000
        public init() {}
    }

    public struct PluginSettings: Sendable {
        public var name: String
        /// As written: a file name searched in `plugin_path`, or a path (absolute after reading).
        public var library: String
        /// 32 bytes, or nil when not pinned.
        public var sha256: [UInt8]?
        /// Allows a library that its group may write.
        public var allowGroupWritable = false
        /// The plugin's own tree, unread by the host; a null scalar when absent.
        public var config: Node
        public var position: Position
        public var libraryPosition: Position
        public init(name: String, library: String, config: Node, position: Position, libraryPosition: Position) {
            self.name = name
            self.library = library
            self.config = config
            self.position = position
            self.libraryPosition = libraryPosition
        }
    }

    /// A reference to an entry of `plugins` by its name, with where it was written.
    public struct PluginReference: Sendable, Hashable {
        public var name: String
        public var position: Position
        public init(name: String, position: Position) {
            self.name = name
            self.position = position
        }
    }

    /// The links of the chain. An empty list or nil is a link left out. Adapters are the gateway's only.
    public struct Pipeline: Sendable {
        public var adapters: [PluginReference] = []
        /// Something in `adapters` was refused: how many there are is not known then.
        var hasRefusedAdapters = false
        public var filters: [PluginReference] = []
        public var routers: [PluginReference] = []
        public var balancer: PluginReference?
        public var batcher: PluginReference?
        public var observers: [PluginReference] = []
        public init() {}
    }

    public struct ModelSettings: Sendable {
        public var name: String
        public var position: Position
        /// Highest version first is not promised: the order of the file.
        public var versions: [VersionSettings] = []
        /// Label to version key, for routers that know labels (`stable: "1"`).
        public var labels: [(label: String, version: String)] = []
        public var timeoutMs: Int?
        /// Links that the model replaces; nil takes the gateway's. `.some([])` takes the link out.
        public var filters: [PluginReference]?
        public var routers: [PluginReference]?
        public var balancer: PluginReference??
        public var batcher: PluginReference??
        public var retry: Retry?
        public var hedge: Hedge?
        public var circuitBreaker: CircuitBreaker?
        public var outlierDetection: OutlierDetection?
        public var selection = Selection()
        public var queue: Queue?
        public var concurrency: Concurrency?
        public var batching: Batching?
        public var healthCheck: HealthCheck?
        /// In the order in which they are tried; empty: errors are answered.
        public var fallbacks: [Fallback] = []
        public init(name: String, position: Position) {
            self.name = name
            self.position = position
        }
    }

    public struct VersionSettings: Sendable {
        public var version: String
        public var position: Position
        public var endpoints: [EndpointSettings] = []
        /// Where each of them stands in the file.
        public var endpointPositions: [Position] = []
        /// Who finds the endpoints in their place.
        public var discovery: Discovery?
        /// The adapter spoken toward the endpoints; nil when served in this process.
        public var protocolAdapter: PluginReference?
        /// The plugin that serves this version in this process; nil when it has endpoints.
        public var backend: PluginReference?
        /// The version's own tree for the backend plugin; a null scalar when absent.
        public var backendConfig: Node
        /// For endpoints that speak TLS; nil: none does.
        public var tls: EndpointTLS?
        public var weight = 1
        /// Names toward the backend; nil: unchanged.
        public var upstreamModel: String?
        public var upstreamVersion: String?
        /// Connections to one endpoint from one worker.
        public var maxConnections = 1_024
        public init(version: String, position: Position, backendConfig: Node) {
            self.version = version
            self.position = position
            self.backendConfig = backendConfig
        }
    }

    public struct EndpointSettings: Sendable, Hashable {
        public enum Scheme: String, Sendable {
            case http, https, grpc, grpcs, tcp
            public var usesTLS: Bool { self == .https || self == .grpcs }
            public var speaksHTTP2: Bool { self == .grpc || self == .grpcs }
        }
        public enum Target: Sendable, Hashable {
            case tcp(host: String, port: UInt16)
            case unix(path: String)
        }
        public var scheme: Scheme
        public var target: Target
        /// As written, the key of the endpoint's lasting state.
        public var text: String
        public var weight = 1
        /// Empty: not known.
        public var zone = ""
        public init(scheme: Scheme, target: Target, text: String) {
            self.scheme = scheme
            self.target = target
            self.text = text
        }
    }
}
