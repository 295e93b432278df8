/// What the gateway is doing, at one moment: what `GET /status` answers and what the gauges of the metrics are made of.
/// A plain value, made off the hot path on the control thread.
struct StatusReport: Sendable {
    var version = SluiceVersion.text
    var pid: Int32 = 0
    var uptimeSeconds: Double = 0
    /// Absolute path of the configuration file in force.
    var configuration = ""
    /// Newest last. More than one while exchanges of a retired generation are under way.
    var generations: [Generation] = []
    /// As text: "0.0.0.0:8080", "unix:/run/sluice.sock". A port that the kernel chose is filled in.
    var listeners: [String] = []
    var plugins: [Plugin] = []
    var models: [Model] = []
    var workers: [Worker] = []
    /// Plugin images in this process; they are never unmapped.
    var images: [Image] = []

    struct Generation: Sendable {
        enum State: String, Sendable { case active, draining }
        var number: UInt64
        var state: State
        /// Under way on this generation.
        var exchanges: Int
    }

    struct Plugin: Sendable {
        /// In the configuration.
        var name: String
        /// As configured.
        var library: String
        /// That the plugin says of itself.
        var version: String
        /// Of the library's bytes, 64 hexadecimal digits.
        var sha256: String
        /// Ids of what it offers ("sluice.balancer/1").
        var extensions: [String]
        /// It goes on with less than it was told to, as its gauge `degraded` says.
        var degraded = false
    }

    struct Model: Sendable {
        var name: String
        var versions: [Version]
    }

    struct Version: Sendable {
        var name: String
        /// Name of the plugin that serves it in this process; nil when it has endpoints.
        var backend: String?
        var endpoints: [Endpoint]
        /// Of the version as a whole, as below.
        var breaker: String?
        /// What finds the endpoints; nil when the configuration names them.
        var discovery: Discovery?
        /// Requests that wait.
        var queued: Int
        /// Requests that are on their way to an endpoint or at one; and how many may be, `.max` when only connections
        /// limit them.
        var underWay = 0
        var limit = Int.max
    }

    struct Endpoint: Sendable {
        /// As configured.
        var address: String
        var weight: UInt32 = 1
        /// Empty: not known.
        var zone = ""
        /// It may be picked, as far as checks and its answers go.
        var healthy: Bool
        /// Out for a while, for what it has answered.
        var ejected = false
        /// "closed", "open" or "half_open"; nil without a breaker.
        var breaker: String?
        /// Attempts under way.
        var inFlight: Int
        /// Attempts begun and attempts that failed since the process began.
        var requests: UInt64
        var failures: UInt64
        /// Moving average of the time to the first byte, in nanoseconds; 0: none seen.
        var ewmaNs: UInt64
    }

    struct Discovery: Sendable {
        /// Name of the plugin in the configuration.
        var plugin: String
        /// Sets that changed the pool, sets told in all, and failures of the source, since the process began.
        var updates: UInt64
        var sets: UInt64
        var failures: UInt64
        /// Addresses that were refused, and empty sets in whose place the last one was kept.
        var refused: UInt64
        var kept: UInt64
        /// Since the source told the set in force last; nil: it never has.
        var stalenessNs: UInt64?
        /// What keeps the source from being followed; empty: nothing.
        var trouble: String
    }

    struct Worker: Sendable {
        /// Of clients.
        var connections: Int
        var exchanges: Int
    }

    struct Image: Sendable {
        var sha256: String
        var path: String
        var bytes: Int
    }
}

/// What this program calls itself.
enum SluiceVersion {
    static let text = "0.1.0"
    /// The same for answers on the wire.
    static let bytes: StaticString = "0.1.0"
}
