import SluiceBalancing
import SluicePlugin

/// Prompts that begin alike go where the beginning is still in the cache of attention keys and values.
///
/// A prompt is hashed block by block, each hash that of all blocks so far. A table remembers which endpoints were sent
/// which prefixes, and the next prompt goes to the one that has seen the longest part of it, unless that one has so
/// much more to do than its share that the least loaded endpoint will be sooner, cold as it is. (Routers that guess at
/// caches in this way: SGLang's `cache_aware`, AIBrix' `prefix-cache`, production-stack's `prefixaware`; they differ in
/// the structure of the table and in when load wins.)
///
/// A balancer sees what was decoded. The filter of this plugin sees to it that the request's body is; without it, and
/// for requests without a prompt, this is least request.
struct PrefixAware: Balancer {
    static let plugin = PluginDescription(
        name: "prefix-aware", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    /// Endpoints among which the least loaded is sought; of more, as many from a random place on. Their mean stands for
    /// the pool's, and the least of 64 is hardly worse than the least of all.
    private static let looksAtMost = 64

    private let options: Options
    private let table: PrefixTable
    private let prompts: PromptHashes
    private var index = EndpointIndex()
    private var start: SearchStart
    private let warm: Counter
    private let cold: Counter
    private let crowded: Counter
    private let unread: Counter
    private let blocks: Counter
    private let warmBlocks: Counter

    init(_ context: Context) throws(PluginError) {
        options = try Options(context)
        table = try PrefixTable(
            context.state, name: "\(context.model)/\(context.version)", entries: options.entries)
        start = SearchStart(context, looksAtMost: Self.looksAtMost)
        let metrics = context.metrics
        let labels = [("model", context.model), ("version", context.version)]
        warm = try metrics.counter(
            "warm_picks_total", "Picks of an endpoint that has seen the prompt's prefix.", labels: labels)
        cold = try metrics.counter(
            "cold_picks_total", "Picks for prompts of which no endpoint that may be taken has seen enough.",
            labels: labels)
        crowded = try metrics.counter(
            "crowded_picks_total", "Picks that passed over warm endpoints for their load.",
            labels: labels)
        unread = try metrics.counter(
            "unread_picks_total",
            "Picks for requests without a prompt of a block's size that can be read.", labels: labels)
        blocks = try metrics.counter("blocks_total", "Blocks of prompts that were hashed.", labels: labels)
        warmBlocks = try metrics.counter(
            "warm_blocks_total", "Blocks of prompts that went where they had been seen.", labels: labels)
        prompts = PromptHashes(options)
    }

    mutating func endpointsChanged(_ endpoints: List<Endpoint>) { index = EndpointIndex(endpoints) }

    mutating func pick(_ candidates: Candidates, for request: Request, exchange: Exchange) -> Int {
        let load = survey(candidates)
        let hashes = prompts.hashes(of: request, exchange)
        guard !hashes.isEmpty else {
            unread.add()
            return load.least
        }
        blocks.add(Double(hashes.count))
        var chosen = load.least
        let found = warmest(hashes, candidates, load)
        if found.endpoint >= 0 {
            chosen = found.endpoint
            warm.add()
            warmBlocks.add(Double(found.depth))
        } else if found.wasCrowded {
            crowded.add()
        } else {
            cold.add()
        }
        if chosen < candidates.endpoints.count {
            let tag = PrefixTable.tag(candidates.endpoints[chosen].id)
            let stamp = PrefixTable.stamp(request.received)
            for hash in hashes { table.remember(hash, tag, stamp: stamp) }
        }
        return chosen
    }

    // MARK: Warmth

    /// The least loaded of the endpoints that have seen the longest prefix and are not crowded; -1 when there is none.
    private func warmest(
        _ hashes: UnsafeBufferPointer<UInt64>, _ candidates: Candidates, _ load: Survey
    ) -> (endpoint: Int, depth: Int, wasCrowded: Bool) {
        // Prefixes are remembered together and a shorter one is never used less: behind the first that is not known
        // there is nothing to find.
        var depth = 0
        while depth < hashes.count, table.endpoints(hashes[depth]) != 0 { depth &+= 1 }
        var wasCrowded = false
        while depth >= options.minBlocks {
            var best = -1
            var bestLoad: Float = 0
            var rest = table.endpoints(hashes[depth &- 1])
            while rest != 0 {
                let place = index.find(UInt16(truncatingIfNeeded: rest), in: candidates.endpoints)
                rest >>= 16
                guard place >= 0, candidates.isEligible(place) else { continue }
                let endpoint = candidates.endpoints[place]
                let weight = Float(max(endpoint.weight, 1))
                let own = Float(endpoint.load.inFlight)
                let share = load.inFlight * weight / load.weight
                if own > options.factor * share, own - share > options.absolute {
                    wasCrowded = true
                    continue
                }
                if best < 0 || own / weight < bestLoad {
                    best = place
                    bestLoad = own / weight
                }
            }
            if best >= 0 { return (best, depth, wasCrowded) }
            // A shorter prefix may be warm in more places.
            depth &-= 1
        }
        return (-1, 0, wasCrowded)
    }

    // MARK: Load

    /// What the endpoints that were looked at have under way.
    private struct Survey {
        var least = 0
        /// Of all together.
        var inFlight: Float = 0
        var weight: Float = 0
    }

    private mutating func survey(_ candidates: Candidates) -> Survey {
        let endpoints = candidates.endpoints
        let count = endpoints.count
        var place = start.next(of: count)
        var looks = min(candidates.eligibleCount, Self.looksAtMost)
        var survey = Survey()
        var bestLoad: Float = 0
        var bestWeight: Float = 0
        for _ in 0..<count {
            if candidates.isEligible(place) {
                let endpoint = endpoints[place]
                let inFlight = Float(endpoint.load.inFlight)
                let weight = Float(max(endpoint.weight, 1))
                survey.inFlight += inFlight
                survey.weight += weight
                // The attempt to be placed counts too: of two idle endpoints the heavier is the better.
                if bestWeight == 0 || (inFlight + 1) * bestWeight < bestLoad * weight {
                    survey.least = place
                    bestLoad = inFlight + 1
                    bestWeight = weight
                }
                looks &-= 1
                if looks == 0 { break }
            }
            place = place &+ 1 < count ? place &+ 1 : 0
        }
        return survey
    }
}

/// Has the bodies of requests gathered, so that the balancer finds the prompt decoded. It changes nothing; requests
/// that it sees are held until their body is whole.
struct PromptGathering: Filter {
    static let plugin = PrefixAware.plugin

    init(_ context: Context) throws(PluginError) { _ = try Options(context) }

    var needs: FilterNeeds { .requestBody }

    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict { .pass }
}

@c(sluice_plugin_entry)
public func entry(host: UInt32) -> PluginEntry {
    export(host, PrefixAware.plugin, [.balancer(PrefixAware.self), .filter(PromptGathering.self)])
}
