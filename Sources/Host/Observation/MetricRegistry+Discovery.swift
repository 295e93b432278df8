extension MetricRegistry {
    /// How well the pools whose endpoints a plugin finds follow their source. None of it without such a pool.
    static func writeDiscovery(_ text: inout PrometheusText, _ status: StatusReport) {
        var pools: [(labels: [(String, String)], endpoints: Int, discovery: StatusReport.Discovery)] = []
        for model in status.models {
            for version in model.versions {
                guard let discovery = version.discovery else { continue }
                let labels = [("model", model.name), ("version", version.name), ("plugin", discovery.plugin)]
                pools.append((labels, version.endpoints.count, discovery))
            }
        }
        guard !pools.isEmpty else { return }
        text.begin("sluice_discovery_endpoints", .gauge, "Endpoints of the pool.")
        for pool in pools { text.sample(pool.labels, UInt64(pool.endpoints)) }
        text.begin("sluice_discovery_updates_total", .counter, "Sets of endpoints that changed the pool.")
        for pool in pools { text.sample(pool.labels, pool.discovery.updates) }
        text.begin("sluice_discovery_failures_total", .counter, "Times the source could not be asked or understood.")
        for pool in pools { text.sample(pool.labels, pool.discovery.failures) }
        text.begin("sluice_discovery_refused_total", .counter, "Addresses that were refused.")
        for pool in pools { text.sample(pool.labels, pool.discovery.refused) }
        text.begin("sluice_discovery_empty_kept_total", .counter, "Empty sets in whose place the last one was kept.")
        for pool in pools { text.sample(pool.labels, pool.discovery.kept) }
        text.begin("sluice_discovery_degraded", .gauge, "1 while the source is not followed, and the last set holds.")
        for pool in pools { text.sample(pool.labels, UInt64(pool.discovery.trouble.isEmpty ? 0 : 1)) }
        text.begin("sluice_discovery_staleness_seconds", .gauge, "Since the source told the set in force last.")
        for pool in pools {
            guard let staleness = pool.discovery.stalenessNs else { continue }
            text.sample(pool.labels, PrometheusText.seconds(staleness))
        }
    }
}
