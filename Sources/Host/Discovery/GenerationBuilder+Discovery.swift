import Configuration
import SluiceABI

extension GenerationWorkshop {
    /// An endpoint in a pool, with the series that it counts under.
    func member(
        _ endpoint: UnsafeMutablePointer<Endpoint>, of key: ModelVersionKey, weight: UInt32, zone: String = ""
    ) -> PoolEndpoint {
        let series = environment.registry.endpoint(EndpointKey(pool: key, address: endpoint.pointee.text.text))
        return PoolEndpoint(
            endpoint: endpoint, member: sharedPools.member(key, address: endpoint.pointee.text.text), weight: weight,
            zone: zone, metrics: series.index)
    }
}

extension GenerationBuilder {
    /// One instance for each pool that asks for one. They are started when the generation is about to be in force.
    func makeDiscoveries() {
        guard !failed else { return }
        var pool = 0
        for model in settings.models {
            for version in model.versions {
                if let settings = version.discovery {
                    makeDiscovery(settings, model.name, version.version, pool)
                }
                pool += 1
            }
        }
    }

    private func makeDiscovery(_ settings: Settings.Discovery, _ model: String, _ version: String, _ pool: Int) {
        guard let plugin = plugins[settings.plugin.name] else { return }
        let table: DiscoveryLink.Table
        let base: UnsafeRawPointer
        let id: String
        if let second = plugin.image.table(SLUICE_DISCOVERY_2, as: sluice_discovery_2.self) {
            (table, base, id) = (.second(second), UnsafeRawPointer(second), SLUICE_DISCOVERY_2)
        } else if let found = extensionTable(
            settings.plugin, "sluice.discovery/1", "discovery", as: sluice_discovery.self)
        {
            (table, base, id) = (.first(found.table), UnsafeRawPointer(found.table), SLUICE_DISCOVERY)
        } else {
            return
        }
        // Its own threads call it and count in its metrics: those of one worker would be written by two threads.
        guard base.assumingMemoryBound(to: sluice_instance.self).pointee.instancing == UInt32(SLUICE_INSTANCE_SHARED)
        else {
            error(settings.plugin.position, "`\(settings.plugin.name)`: a discovery's instances must be shared")
            return
        }
        guard
            let instance = instantiate(
                plugin, base, id, worker: 0, reference: settings.plugin.position, model: model, version: version,
                modelConfig: settings.config)
        else { return }
        discoveries.append(
            DiscoveryLink(
                pool: pool, key: ModelVersionKey(model: model, version: version), settings: settings,
                feed: workshop.environment.feed(settings), instance: instance, table: table))
    }
}
