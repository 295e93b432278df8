import SluiceHashing
import SluicePlugin
import SluiceRouting

/// Keeps the sessions of one model on the same of several alternatives, its versions or other models, as long as that
/// one has no more than its share of the load: a ketama ring with bounded loads. Load is the attempts under way on the
/// endpoints of an alternative, over all workers.
final class RingChoice {
    private struct Alternative {
        /// Where its requests go: a version of the model itself, or another model.
        var model: UInt32
        var version: Int?
        /// Its pools' ids: one of a version, those of all versions of a model.
        var pools: Range<UInt32>
    }

    private let hash: KeyHash
    private let ring: KetamaRing
    private var loads: BoundedLoads
    private let alternatives: [Alternative]

    /// The loads of all are read for each request: a few nanoseconds an endpoint.
    static let alternativesAtMost = 64

    /// `choose:` of a model: `versions`, or a list of models.
    init(
        _ config: Configuration, of model: UInt32, loadFactor: Double, _ context: Context
    ) throws(PluginError) {
        let models = context.host.models
        let own = models.all[Int(model)]
        let name = String(own.name)
        var (alternatives, names, weights): ([Alternative], [[UInt8]], [UInt32]) = ([], [], [])
        if config.kind == .sequence {
            for entry in try config.elements() {
                let asked = try entry.text()
                let found = try models.id(of: asked, at: entry)
                if alternatives.contains(where: { $0.model == found }) {
                    throw entry.error("'\(asked)' is there already")
                }
                let pools = models.all[Int(found)].versions.map(\.pool)
                let first = pools.min() ?? 0
                alternatives.append(
                    Alternative(model: found, version: nil, pools: first..<first + UInt32(pools.count)))
                names.append(Array(asked.utf8))
                weights.append(1)
            }
            if alternatives.isEmpty { throw config.error("name at least one model to choose") }
        } else {
            guard try config.text() == "versions" else {
                throw config.error("expected `versions`, or a list of models")
            }
            for (index, version) in own.versions.enumerated() where version.weight > 0 {
                alternatives.append(
                    Alternative(model: model, version: index, pools: version.pool..<version.pool + 1))
                names.append(Array(version.name))
                weights.append(version.weight)
            }
            if alternatives.isEmpty {
                throw config.error(
                    "the weights of the versions of model '\(name)' sum to zero, so that none could be chosen; "
                        + "give at least one of them a `weight` above 0")
            }
        }
        if alternatives.count > Self.alternativesAtMost {
            throw config.error("\(alternatives.count) to choose from; at most \(Self.alternativesAtMost)")
        }
        self.alternatives = alternatives
        hash = KeyHash("session", name)
        ring = KetamaRing(names: names, weights: weights)
        loads = BoundedLoads(weights: weights, factor: loadFactor)
    }

    /// Decides for the session of that key; true when another alternative than the session's own had to take it.
    func decide(_ key: Bytes, _ decision: RouteDecision, _ exchange: Exchange) -> Bool {
        for index in alternatives.indices {
            var load: UInt32 = 0
            for pool in alternatives[index].pools { load &+= exchange.inFlight(pool: pool) }
            loads.note(index, load: load)
        }
        let start = ring.place(of: hash.hash(key))
        let own = ring.owner(at: start)
        var place = start
        var owner = own
        // One always has room, as the factor is at least 1.
        while !loads.hasRoom(owner) {
            place = ring.next(after: place)
            if place == start { break }
            owner = ring.owner(at: place)
        }
        decision.model = alternatives[owner].model
        decision.version = alternatives[owner].version
        return owner != own
    }
}
