import CLinux
import SluiceABI

/// Brings what discoveries find to the pools of the generation in force, and takes endpoints away that nothing names.
/// [main]
struct DiscoveryControl {
    let workshop: GenerationWorkshop
    let workers: [Worker]

    /// Starts the discoveries of a generation that is about to be published, and gives pools that know no endpoints yet
    /// a moment to find some, so that the first requests are served.
    func begin(_ generation: Generation) {
        for link in generation.discoveries {
            link.feed.know(workshop.discoveries.state(of: link.key).addresses)
            link.start()
        }
        let begun = clinux_monotonic_ns()
        for link in generation.discoveries
        where !workshop.discoveries.state(of: link.key).isKnown(of: link.settings.scheme) {
            link.feed.waitForNews(until: begun + UInt64(link.settings.firstSetMs) * 1_000_000)
        }
        look(generation, isPublished: false)
    }

    /// The generation is in force: those before it are no longer told anything.
    func published(_ generation: Generation, after old: [Generation]) {
        for generation in old { for link in generation.discoveries { link.stop() } }
        workshop.discoveries.keep(only: Set(generation.discoveries.map(\.key)))
    }

    /// Takes what discoveries have brought.
    func look(_ generation: Generation, isPublished: Bool = true) {
        for link in generation.discoveries {
            let state = workshop.discoveries.state(of: link.key)
            let label = "\(link.key.model)/\(link.key.version)"
            let news = link.feed.look()
            guard let told = state.note(news, link.settings.whenEmpty, label) else { continue }
            let (taken, endpoints) = workshop.endpoints.places(for: told, addresses: news.addresses)
            state.refuse(told.members.count - taken.members.count, label)
            guard taken.members != state.set?.members else { continue }
            let all = zip(taken.members, endpoints).map {
                workshop.member($1, of: link.key, weight: $0.weight, zone: $0.zone)
            }
            state.applied(taken, all)
            let members = generation.settings.subset(of: all, model: link.key.model)
            WarmUp.begin(
                members, after: generation.pools[link.pool].list, isChecked: generation.settings.checks(link.key.model),
                now: clinux_monotonic_ns())
            let known = members.count == all.count ? "" : " of \(all.count)"
            HostLog.logger.info("discovery of \(label): \(members.count)\(known) endpoints")
            put(members, in: link.pool, generation, isPublished)
        }
    }

    private func put(_ members: [PoolEndpoint], in index: Int, _ generation: Generation, _ isPublished: Bool) {
        generation.update(pool: index, members)
        for (number, worker) in workers.enumerated() {
            let pool = generation.tables[number].pointee.pools + index
            let table = EndpointTable(members, zone: generation.settings.zone)
            guard isPublished else {
                pool.pointee.replace(with: table)
                continue
            }
            let update = UnsafeMutablePointer<EndpointUpdate>.allocate(capacity: 1)
            update.initialize(to: EndpointUpdate(pool: pool, table: table))
            worker.mailbox.send(.endpoints, pointer: UnsafeMutableRawPointer(update))
        }
    }

    // MARK: Sources that are away

    /// Empties pools whose source has been away for longer than their last set is to be kept.
    func expire(_ generation: Generation) {
        let now = clinux_monotonic_ns()
        for link in generation.discoveries {
            let state = workshop.discoveries.state(of: link.key)
            guard let expiry = state.expiry(link.settings), expiry <= now else { continue }
            state.applied(EndpointSet(), [])
            let (label, kept) = ("\(link.key.model)/\(link.key.version)", link.settings.keepLastSeconds ?? 0)
            HostLog.logger.warning("discovery of \(label): the last set was kept for \(kept) s and is dropped")
            put([], in: link.pool, generation, true)
        }
    }

    /// Milliseconds until that is due; nil: it is not.
    func nextExpiryMs(_ generation: Generation) -> UInt64? {
        let now = clinux_monotonic_ns()
        let next = generation.discoveries.compactMap {
            workshop.discoveries.state(of: $0.key).expiry($0.settings)
        }.min()
        return next.map { ($0 - min($0, now)) / 1_000_000 + 1 }
    }

    // MARK: Endpoints that nothing names

    /// Notes which endpoints are in use, and asks workers about those that are not.
    func sweep(_ generations: [Generation]) {
        let now = clinux_monotonic_ns()
        var inUse = Set(workshop.discoveries.members.map(\.endpoint.pointee.index))
        for generation in generations {
            for pool in generation.pools { inUse.formUnion(pool.list.map(\.endpoint.pointee.index)) }
        }
        workshop.endpoints.sweep(inUse: inUse, now: now)
        for question in workshop.endpoints.questions(now: now) {
            let endpoint = workshop.endpoints.endpoints[question.index]
            let farewell = UnsafeMutablePointer<EndpointFarewell>.allocate(capacity: 1)
            farewell.initialize(to: EndpointFarewell(endpoint: endpoint, question: question))
            workers[question.worker].mailbox.send(.farewell, pointer: UnsafeMutableRawPointer(farewell))
        }
    }

    func forgotten(_ question: EndpointRegistry.Question) {
        guard let text = workshop.endpoints.forgotten(question) else { return }
        // All at once, and when no worker writes them any more: a sum that fell in steps would look as if the process
        // had begun anew.
        for row in workshop.environment.registry.series(ofEndpoint: text) {
            for worker in workers { worker.metrics.clear(endpoint: EndpointMetricsID(index: row)) }
        }
        workshop.environment.registry.forget(endpoint: text)
        workshop.sharedPools.forget(address: text)
    }

    /// Milliseconds until the next question is due; nil: none will be.
    var nextSweepMs: UInt64? {
        let now = clinux_monotonic_ns()
        return workshop.endpoints.nextQuestion.map { ($0 - min($0, now)) / 1_000_000 + 1 }
    }

    // MARK: Status

    func describe(_ link: DiscoveryLink) -> StatusReport.Discovery {
        let state = workshop.discoveries.state(of: link.key)
        return StatusReport.Discovery(
            plugin: link.settings.plugin.name, updates: state.updates, sets: state.sets, failures: state.failures,
            refused: state.refused, kept: state.kept,
            stalenessNs: state.toldAt == 0 ? nil : clinux_monotonic_ns() - state.toldAt, trouble: state.trouble)
    }
}
