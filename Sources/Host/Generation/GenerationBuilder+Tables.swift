import Configuration
import HTTP1
import SluiceABI

/// The flat tables of one worker.
extension GenerationBuilder {
    func buildTables(_ worker: Int) -> UnsafeMutablePointer<WorkerGeneration>? {
        let tables = memory.allocate(WorkerGeneration.self, 1)
        let (adapters, adapterIndex) = buildAdapters(worker)
        let observers = settings.pipeline.observers.compactMap { reference -> ObserverLink? in
            guard let made = make(reference, "sluice.observer/1", "observer", sluice_observer.self, worker) else {
                return nil
            }
            return ObserverLink(table: made.table, instance: made.instance, plugin: metricsID(reference.name))
        }
        let filters = filterChain(settings.pipeline.filters, worker)
        let routers = routerChain(settings.pipeline.routers, worker)
        let models = memory.allocate(WorkerModel.self, settings.models.count)
        let poolCount = settings.models.reduce(0) { $0 + $1.versions.count }
        let pools = memory.allocate(WorkerPool.self, poolCount)
        var next = 0
        for (index, model) in settings.models.enumerated() {
            let view = modelViews[index]
            (models + index).initialize(
                to: WorkerModel(
                    name: view.name, firstPool: UInt32(next), versionCount: UInt32(model.versions.count),
                    replacesRouters: model.routers != nil, routers: routerChain(model.routers ?? [], worker),
                    filters: filterChain(model.filters ?? [], worker, after: filters)))
            for (position, version) in model.versions.enumerated() {
                let pool = buildPool(
                    PoolPlace(index: next, model: index, version: position), model, version, worker, tables, adapters,
                    adapterIndex)
                let place = pools + next
                place.initialize(to: pool)
                memory.onFree { place.pointee.endpointTable.deallocate() }
                next += 1
            }
        }
        checkListeners(adapters, adapterIndex)
        guard !failed else { return nil }
        tables.initialize(
            to: WorkerGeneration(
                adapters: adapters, observers: memory.place(observers), models: models, modelNames: modelNames,
                modelViews: UnsafePointer(modelViews), pools: pools))
        tables.pointee.number = number
        tables.pointee.limits = limits()
        tables.pointee.parser = headParser()
        tables.pointee.adapterCount = settings.pipeline.adapters.count
        tables.pointee.adapterLinkCount = adapterIndex.count
        tables.pointee.filters = filters
        tables.pointee.routers = routers
        tables.pointee.observerCount = observers.count
        tables.pointee.modelCount = settings.models.count
        tables.pointee.poolCount = poolCount
        tables.pointee.secured = memory.place(secured)
        tables.pointee.securedCount = secured.count
        let own = secured.map(\.subjectField).filter { !$0.isEmpty }
        tables.pointee.ownFields = UnsafePointer(memory.place(own))
        tables.pointee.ownFieldCount = own.count
        return tables
    }

    private func headParser() -> HeadParser {
        let bytes = settings.limits.headerBytes
        // Room for a few fields beside the longest target.
        let target = bytes - min(bytes / 4, 1_024)
        return HeadParser(
            limits: HeadLimits(headerBytes: bytes, fieldCount: settings.limits.headerCount, targetBytes: target))
    }

    private func limits() -> RequestLimits {
        var limits = RequestLimits()
        limits.headerBytes = settings.limits.headerBytes
        limits.http2Streams = settings.limits.http2Streams
        limits.headerCount = settings.limits.headerCount
        limits.bodyBytes = settings.limits.bodyBytes
        limits.inflatedBytes = settings.limits.inflatedBytes
        limits.inflationRatio = settings.limits.inflationRatio
        limits.shadows = settings.limits.shadows
        // A gathered body is beside the arena; its decoded form and the answer's are in it, each about as large.
        limits.arenaBytes = settings.limits.bodyBytes &* 2 &+ 1_048_576
        limits.headerTimeoutMs = UInt64(settings.limits.headerTimeoutMs)
        limits.bodyTimeoutMs = UInt64(settings.limits.bodyTimeoutMs)
        limits.idleTimeoutMs = UInt64(settings.limits.idleTimeoutMs)
        limits.tunnelTimeoutMs = UInt64(settings.limits.tunnelTimeoutMs)
        limits.connectTimeoutMs = UInt64(settings.routing.connectTimeoutMs)
        limits.pingIntervalMs = UInt64(settings.routing.http2PingIntervalMs)
        limits.defaultTimeoutNs = UInt64(settings.routing.defaultTimeoutMs) * 1_000_000
        if let slow = settings.monitoring.slowRequestMs { limits.slowNs = UInt64(slow) * 1_000_000 }
        return limits
    }

    private func make<Table>(
        _ reference: Settings.PluginReference, _ id: StaticString, _ kind: String, _ type: Table.Type, _ worker: Int,
        model: String = "", version: String = "", modelConfig: Node? = nil
    ) -> (table: UnsafePointer<Table>, instance: UnsafeMutableRawPointer?, context: InstanceContext)? {
        guard let found = extensionTable(reference, id, kind, as: type),
            let made = instantiate(
                found.plugin, UnsafeRawPointer(found.table), "\(id)", worker: worker, reference: reference.position,
                model: model, version: version, modelConfig: modelConfig)
        else { return nil }
        return (found.table, made.pointer, made.context)
    }

    // MARK: Chains

    /// The adapters of the chain first, then those that only endpoints speak, or only clients over raw TCP.
    private func buildAdapters(_ worker: Int) -> (UnsafeMutablePointer<AdapterLink>, [String: Int]) {
        var references = settings.pipeline.adapters
        var index: [String: Int] = [:]
        for (position, reference) in references.enumerated() { index[reference.name] = position }
        for model in settings.models {
            for case let reference? in model.versions.map(\.protocolAdapter) where index[reference.name] == nil {
                index[reference.name] = references.count
                references.append(reference)
            }
        }
        for case let reference? in settings.listeners.map(\.adapter) where index[reference.name] == nil {
            index[reference.name] = references.count
            references.append(reference)
        }
        let links = memory.allocate(AdapterLink.self, references.count)
        for (position, reference) in references.enumerated() {
            guard let made = make(reference, "sluice.adapter/1", "adapter", sluice_adapter.self, worker) else {
                continue
            }
            let compiled = compileRoutes(reference, made.table, made.instance, made.context)
            let (routes, calls) = (compiled.http, compiled.grpc)
            (links + position).initialize(
                to: AdapterLink(
                    table: made.table, instance: made.instance, plugin: metricsID(reference.name),
                    id: metricsID(reference.name), name: memory.bytes(reference.name),
                    routes: UnsafePointer(memory.place(routes)), routeCount: routes.count,
                    calls: RouteList(routes: UnsafePointer(memory.place(calls)), count: calls.count),
                    rawRoute: compiled.raw,
                    captureCounts: UnsafePointer(memory.place(compiled.captureCounts)),
                    prefix: CompiledRoute.commonPrefix(routes)))
        }
        return (links, index)
    }

    private static let routesAtMost = 256

    private func compileRoutes(
        _ reference: Settings.PluginReference, _ table: UnsafePointer<sluice_adapter>,
        _ instance: UnsafeMutableRawPointer?, _ context: InstanceContext
    ) -> (http: [CompiledRoute], grpc: [CompiledRoute], raw: UInt32?, captureCounts: [Int]) {
        var list: UnsafePointer<sluice_route>?
        var count: UInt32 = 0
        let (status, failure) = context.onMain { table.pointee.routes.unsafelyUnwrapped(instance, &list, &count) }
        guard status == SLUICE_OK else {
            let reason = failure.map { ": \($0)" } ?? " (status \(status))"
            error(reference.position, "adapter `\(reference.name)` could not tell its routes\(reason)")
            return ([], [], nil, [])
        }
        guard count <= UInt32(Self.routesAtMost) else {
            error(reference.position, "adapter `\(reference.name)` has \(count) routes; at most \(Self.routesAtMost)")
            return ([], [], nil, [])
        }
        var http: [CompiledRoute] = []
        var grpc: [CompiledRoute] = []
        var raw: UInt32?
        var captureCounts = [Int](repeating: 0, count: Int(count))
        for index in 0..<Int(count) {
            guard let route = list?[index] else { break }
            if route.transport == UInt32(SLUICE_TRANSPORT_TCP) {
                // A message of raw TCP has neither method nor path: the first such route is the only one.
                if raw == nil, table.pointee.frame != nil { raw = UInt32(index) }
                continue
            }
            do throws(CompiledRoute.Fault) {
                let made = try CompiledRoute(method: route.method, path: route.path, index: index)
                memory.onFree { made.deallocate() }
                captureCounts[index] = made.captureCount
                switch Int32(route.transport) {
                case SLUICE_TRANSPORT_HTTP: http.append(made)
                case SLUICE_TRANSPORT_GRPC: grpc.append(made)
                // A transport that this host does not know.
                default: break
                }
            } catch {
                if case .syntax(let message) = error {
                    self.error(reference.position, "adapter `\(reference.name)`: \(message)")
                }
            }
        }
        return (http, grpc, raw, captureCounts)
    }

    /// - Parameter gateway: the chain that requests have been through before; nil: this is the gateway's.
    private func filterChain(
        _ references: [Settings.PluginReference], _ worker: Int, after gateway: FilterChain? = nil
    ) -> FilterChain {
        var links: [FilterLink] = []
        for reference in references {
            guard var link = filter(reference, worker) else { continue }
            // Instances have a context each.
            if let gateway {
                link.isRepeated = (0..<gateway.count).contains { gateway.links[$0].context == link.context }
            }
            links.append(link)
        }
        return FilterChain(links: memory.place(links), count: links.count, needs: links.reduce(0) { $0 | $1.needs })
    }

    private func filter(_ reference: Settings.PluginReference, _ worker: Int) -> FilterLink? {
        let plugin = metricsID(reference.name)
        // A table of version 2 begins as one of version 1 does, and is used as one but for what it has beyond.
        if plugins[reference.name]?.image.table(SLUICE_FILTER_2, as: sluice_filter_2.self) != nil {
            guard let made = make(reference, "sluice.filter/2", "filter", sluice_filter_2.self, worker) else {
                return nil
            }
            return FilterLink(
                table: UnsafeRawPointer(made.table).assumingMemoryBound(to: sluice_filter.self),
                instance: made.instance, context: made.context.handle, plugin: plugin,
                needs: made.table.pointee.needs.unsafelyUnwrapped(made.instance),
                onFailure: made.table.pointee.on_failure, onError: made.table.pointee.on_error)
        }
        guard let made = make(reference, "sluice.filter/1", "filter", sluice_filter.self, worker) else { return nil }
        return FilterLink(
            table: made.table, instance: made.instance, context: made.context.handle, plugin: plugin,
            needs: made.table.pointee.needs.unsafelyUnwrapped(made.instance))
    }

    private func routerChain(_ references: [Settings.PluginReference], _ worker: Int) -> RouterChain {
        var links: [RouterLink] = []
        for reference in references {
            guard let made = make(reference, "sluice.router/1", "router", sluice_router.self, worker) else { continue }
            links.append(
                RouterLink(
                    table: made.table, instance: made.instance, context: made.context.handle,
                    plugin: metricsID(reference.name)))
        }
        return RouterChain(links: memory.place(links), count: links.count)
    }

    /// What is sent to a listener of raw TCP has to be cut into messages by somebody.
    private func checkListeners(_ adapters: UnsafeMutablePointer<AdapterLink>, _ index: [String: Int]) {
        // A link that failed was not made.
        guard !failed else { return }
        for case let reference? in settings.listeners.map(\.adapter) {
            if let position = index[reference.name] { checkFrames(adapters[position], reference) }
        }
    }

    private func checkFrames(_ adapter: AdapterLink, _ reference: Settings.PluginReference) {
        guard adapter.rawRoute == nil, !failed else { return }
        error(
            reference.position,
            "adapter `\(reference.name)` does not frame messages over raw TCP; name one that does")
    }

    // MARK: Pools

    struct PoolPlace {
        var index: Int
        var model: Int
        var version: Int
    }

    private func buildPool(
        _ place: PoolPlace, _ model: Settings.ModelSettings, _ version: Settings.VersionSettings, _ worker: Int,
        _ tables: UnsafeMutablePointer<WorkerGeneration>, _ adapters: UnsafeMutablePointer<AdapterLink>,
        _ adapterIndex: [String: Int]
    ) -> WorkerPool {
        let description = pool(at: place.index)
        let table = EndpointTable(description.list, zone: settings.zone)
        let view = modelViews[place.model].versions[place.version]
        var pool = WorkerPool(
            generation: tables, id: UInt32(place.index), model: UInt32(place.model), version: UInt32(place.version),
            modelName: modelViews[place.model].name, versionName: view.name, shared: description.shared,
            endpoints: table.endpoints, targets: table.targets, endpointMetrics: table.metrics,
            endpointCount: table.count, endpointMembers: table.members, endpointMask: table.mask,
            endpointPreferences: table.preferences,
            speaksHTTP2: version.scheme?.speaksHTTP2 == true, balancer: nil, backend: nil,
            batching: nil, adapter: nil, upstreamModel: view.upstream_model, upstreamVersion: view.upstream_version,
            upstreamVersionIsSet: version.upstreamVersion != nil, upstreamModelIsSet: version.upstreamModel != nil,
            timeoutNs: UInt64(model.timeoutMs ?? settings.routing.defaultTimeoutMs) * 1_000_000,
            maxConnections: version.maxConnections, tls: description.tls?.pointer,
            tlsName: version.tls?.serverName.map(memory.text),
            queue: queueLimits(model.queue ?? settings.queue),
            concurrency: concurrencyLimit(model.concurrency ?? settings.concurrency), isRaw: false)
        if let reference = version.protocolAdapter, let index = adapterIndex[reference.name] {
            pool.adapter = adapters + index
            pool.isRaw = version.scheme == .tcp
            if pool.isRaw { checkFrames(adapters[index], reference) }
        }
        pool.backend = backend(version, model, worker)
        if version.backend == nil { pool.balancer = balancer(model, version, pool, worker) }
        pool.batching = batching(model, version, description, worker)
        addPolicies(&pool, model, version, worker, description)
        return pool
    }

    private func backend(
        _ version: Settings.VersionSettings, _ model: Settings.ModelSettings, _ worker: Int
    ) -> BackendLink? {
        guard let reference = version.backend,
            let made = make(
                reference, "sluice.backend/1", "backend", sluice_backend.self, worker, model: model.name,
                version: version.version, modelConfig: version.backendConfig)
        else { return nil }
        return BackendLink(
            table: made.table, instance: made.instance, context: made.context.handle, plugin: metricsID(reference.name))
    }

    private func balancer(
        _ model: Settings.ModelSettings, _ version: Settings.VersionSettings, _ pool: WorkerPool, _ worker: Int
    ) -> BalancerLink? {
        let choice: Settings.PluginReference? = if let own = model.balancer { own } else { settings.pipeline.balancer }
        guard let reference = choice else { return nil }
        // A table of version 2 begins as one of version 1 does, and is used as one but for what it has beyond.
        if plugins[reference.name]?.image.table(SLUICE_BALANCER_2, as: sluice_balancer_2.self) != nil {
            guard
                let made = make(
                    reference, "sluice.balancer/2", "balancer", sluice_balancer_2.self, worker, model: model.name,
                    version: version.version)
            else { return nil }
            let table = UnsafeRawPointer(made.table).assumingMemoryBound(to: sluice_balancer.self)
            return link(reference, table, made.instance, pool, onHead: made.table.pointee.on_head)
        }
        guard
            let made = make(
                reference, "sluice.balancer/1", "balancer", sluice_balancer.self, worker, model: model.name,
                version: version.version)
        else { return nil }
        return link(reference, made.table, made.instance, pool, onHead: nil)
    }

    private func link(
        _ reference: Settings.PluginReference, _ table: UnsafePointer<sluice_balancer>,
        _ instance: UnsafeMutableRawPointer?, _ pool: WorkerPool,
        onHead: (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<sluice_answer_head>?) -> Void)?
    ) -> BalancerLink {
        table.pointee.on_endpoints?(instance, pool.endpoints, UInt32(pool.endpointCount))
        return BalancerLink(table: table, instance: instance, plugin: metricsID(reference.name), onHead: onHead)
    }

    /// Batching needs both: a batcher in the chain and `batching` configured.
    private func batching(
        _ model: Settings.ModelSettings, _ version: Settings.VersionSettings, _ description: PoolDescription,
        _ worker: Int
    ) -> UnsafeMutablePointer<PoolBatching>? {
        let choice: Settings.PluginReference? = if let own = model.batcher { own } else { settings.pipeline.batcher }
        guard let reference = choice, let bounds = model.batching ?? settings.batching, bounds.maxBatchSize > 1,
            let found = extensionTable(reference, "sluice.batcher/1", "batcher", as: sluice_batcher.self)
        else { return nil }
        let home = description.shared.pointee.homeWorker
        var instance: UnsafeMutableRawPointer?
        if worker == home {
            guard
                let made = make(
                    reference, "sluice.batcher/1", "batcher", sluice_batcher.self, worker, model: model.name,
                    version: version.version, modelConfig: bounds.node(reference.position))
            else { return nil }
            instance = made.instance
        }
        let batching = memory.allocate(PoolBatching.self, 1)
        batching.initialize(
            to: PoolBatching(
                home: UnsafeMutablePointer(bitPattern: 64).unsafelyUnwrapped, homeWorker: home,
                batcher: BatcherLink(table: found.table, instance: instance, plugin: metricsID(reference.name)),
                maxRows: UInt32(clamping: bounds.maxBatchSize), maxDelayNs: UInt64(bounds.maxDelayMs * 1_000_000)))
        memory.onFree {
            batching.pointee.deallocate()
            batching.deinitialize(count: 1)
        }
        return batching
    }

    /// Each worker's pool learns where its home is.
    func linkBatching(_ tables: [UnsafeMutablePointer<WorkerGeneration>]) {
        for table in tables {
            for index in 0..<table.pointee.poolCount {
                guard let batching = table.pointee.pools[index].batching else { continue }
                batching.pointee.home = tables[batching.pointee.homeWorker].pointee.pools + index
            }
        }
    }
}
