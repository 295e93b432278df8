import DNSDiscoveryCodec
import Glibc
import SluicePlugin

/// Follows a name in DNS: its addresses, or the services of its SRV records, looked up again as their TTL says. While
/// no server answers the last set is in force.
///
///     discovery:
///       plugin: dns
///       config: { name: iris.models.example, port: 8000 }
struct DNSDiscovery: Discovery {
    static let plugin = PluginDescription(
        name: "dns-discovery", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let name: String
    private let kind: DNSLookup.Kind
    private let client: DNSClient.Settings
    private let schedule: LookSchedule
    private let counters: DNSCounters
    private let log: Log
    private var thread: SourceThread?

    init(_ context: Context) throws(PluginError) {
        try context.config.allow([])
        let config = context.modelConfig
        try config.allow([
            "name", "type", "port", "priorities", "servers", "timeout_ms", "rounds", "least_seconds", "most_seconds",
            "retry_at_most_seconds",
        ])
        name = try config.required("name")
        guard DNSName.labels(of: name) != nil else {
            throw config["name"].error("this is no name of DNS: labels of 1 to 63 characters with dots between them")
        }
        if NameServer(host: name).place != nil {
            throw config["name"].error("an address has nothing to look up; name it under `endpoints`")
        }
        kind = try Self.kind(config)
        client = try Self.client(config)
        let least = try config.integer("least_seconds", default: 1, in: 1...86_400)
        let most = try config.integer("most_seconds", default: max(300, least), in: 1...86_400)
        if most < least { throw config["most_seconds"].error("it is less than `least_seconds`, \(least)") }
        schedule = LookSchedule(
            least: UInt32(least), most: UInt32(most),
            retryAtMost: UInt32(try config.integer("retry_at_most_seconds", default: 30, in: 1...3_600)))
        counters = try DNSCounters(context)
        log = context.host.log
    }

    private static func kind(_ config: Configuration) throws(PluginError) -> DNSLookup.Kind {
        let types: [DNSType]
        switch try config.text("type", default: "address") {
        case "address": types = [.a, .aaaa]
        case "a": types = [.a]
        case "aaaa": types = [.aaaa]
        case "srv":
            if !config["port"].isNull { throw config["port"].error("SRV records have ports of their own") }
            guard let priorities = DNSLookup.Priorities(rawValue: try config.text("priorities", default: "best")) else {
                throw config["priorities"].error("expected `best` or `all`")
            }
            return .services(priorities: priorities)
        default: throw config["type"].error("expected `address`, `a`, `aaaa` or `srv`")
        }
        if !config["priorities"].isNull { throw config["priorities"].error("it goes with `type: srv`") }
        if config["port"].isNull { throw config.error("'port' is missing: addresses in DNS have none") }
        return .addresses(types, port: UInt16(try config["port"].integer(in: 1...65_535)))
    }

    private static func client(_ config: Configuration) throws(PluginError) -> DNSClient.Settings {
        var client = DNSClient.Settings()
        for element in try config["servers"].elements() {
            guard let server = NameServer(try element.text()), server.place != nil else {
                throw element.error("expected a numeric address, with or without a port, as in `10.0.0.2:53`")
            }
            client.servers.append(server)
        }
        // Each may take its whole time in each round.
        if client.servers.count > 8 { throw config["servers"].error("at most 8 servers are asked") }
        client.timeoutMs = Int(try config.integer("timeout_ms", default: 2_000, in: 10...30_000))
        client.rounds = Int(try config.integer("rounds", default: 2, in: 1...10))
        return client
    }

    mutating func start(_ sink: EndpointSink) throws(PluginError) {
        let follower = NameFollower(
            name: name, kind: kind, client: client, schedule: schedule, counters: counters, log: log, sink: sink)
        thread = try SourceThread(name: "sluice-dns") { follower.run($0) }
    }

    mutating func stop() {
        thread?.stop()
        thread = nil
    }
}

/// What is counted of one pool's look-ups. On the thread of the discovery.
struct DNSCounters: Sendable {
    let queries: Counter
    let timeouts: Counter
    let truncated: Counter
    let discarded: Counter

    init(_ context: Context) throws(PluginError) {
        let labels = [("model", context.model), ("version", context.version)]
        queries = try context.metrics.counter("queries", "Questions sent to name servers.", labels: labels)
        timeouts = try context.metrics.counter(
            "timeouts", "Questions that a name server did not answer in time.", labels: labels)
        truncated = try context.metrics.counter(
            "truncated", "Answers that were asked for again over TCP.", labels: labels)
        discarded = try context.metrics.counter(
            "discarded", "Messages that were no answer to the question.", labels: labels)
    }
}

/// Looks a name up again and again, and tells what it finds. On the thread that `start` makes.
final class NameFollower: @unchecked Sendable {
    private let name: String
    private let client: DNSClient.Settings
    private let counters: DNSCounters
    private let log: Log
    private let sink: EndpointSink
    private var lookup: DNSLookup
    private var schedule: LookSchedule
    /// The last set that was told had no endpoints.
    private var toldNothing = false

    init(
        name: String, kind: DNSLookup.Kind, client: DNSClient.Settings, schedule: LookSchedule, counters: DNSCounters,
        log: Log, sink: EndpointSink
    ) {
        self.name = name
        self.client = client
        self.schedule = schedule
        self.counters = counters
        self.log = log
        self.sink = sink
        lookup = DNSLookup(name: name, kind: kind)
    }

    func run(_ signal: StopSignal) {
        var client = DNSClient(client, signal, counters)
        while true {
            client.findServers()
            let pause: Int
            do throws(DNSTrouble) {
                pause = tell(try lookup.look { question throws(DNSTrouble) in try client.ask(question) })
            } catch {
                switch error {
                case .stopped: return
                case .silence(let text), .refusal(let text): sink.failed(text)
                }
                pause = schedule.failed(random: .random(in: 0...1))
            }
            log.write(.debug, "looks `\(name)` up again in \(pause) ms")
            if signal.wait(milliseconds: pause) == .stopped { return }
        }
    }

    /// Milliseconds until the next look.
    private func tell(_ found: DNSLookup.Finding) -> Int {
        let isPartial = !found.trouble.isEmpty
        // An empty set is told once: what follows says why, and is not to alternate with it in the log. And not at all
        // while something could not be asked: that nobody knows an endpoint does not say that there is none.
        let tellsSet = !found.endpoints.isEmpty || !isPartial && !toldNothing
        let endpoints = found.endpoints.map { DiscoveredEndpoint(address: $0.address, weight: $0.weight) }
        var complaint: String?
        if isPartial {
            complaint = "some of it is as it was: \(found.trouble)"
        } else if found.endpoints.isEmpty {
            // The set says as much, but not why.
            complaint = found.exists ? "`\(name)` has no such records" : "`\(name)` does not exist (NXDOMAIN)"
        }
        // A set ends a complaint: what is wrong with it follows at once, and not when it has been put into words, or
        // whoever looks in between sees a source that is well.
        if tellsSet {
            sink.set(endpoints)
            toldNothing = endpoints.isEmpty
        }
        if let complaint { sink.failed(complaint) }
        if isPartial { return schedule.partlyFailed(ttl: found.ttl, random: .random(in: 0...1)) }
        return schedule.succeeded(ttl: found.ttl)
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, DNSDiscovery.self) }
