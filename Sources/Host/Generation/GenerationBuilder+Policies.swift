import Configuration
import Resilience
import SluiceABI

/// What a pool does when its endpoints fail, as tables of one worker.
extension GenerationBuilder {
    func addPolicies(
        _ pool: inout WorkerPool, _ model: Settings.ModelSettings, _ version: Settings.VersionSettings, _ worker: Int,
        _ description: PoolDescription
    ) {
        if let retry = model.retry ?? settings.routing.retry { pool.retry = RetryLimits(retry) }
        if let hedge = model.hedge ?? settings.routing.hedge, version.backend == nil {
            pool.hedging = memory.place([PoolHedging(HedgeSettings(hedge), description.shared.pointee.state)])
        }
        pool.fallback = fallbackChain(model, version, description)
        let breaker = model.circuitBreaker ?? settings.circuitBreaker
        let outlier = model.outlierDetection ?? settings.outlierDetection
        let isGuarded = breaker != nil || outlier != nil || model.healthCheck != nil
        let selection = model.selection.or(settings.selection)
        guard version.backend == nil, isGuarded || selection.slowStart != nil || selection.zonePreference != nil else {
            return
        }
        let words = max((description.endpoints.count + 63) / 64, 1)
        var policy = PoolPolicy(
            members: UnsafePointer(memory.place(description.members)), mask: memory.allocate(UInt64.self, words))
        if let breaker {
            let timeout = UInt64(model.timeoutMs ?? settings.routing.defaultTimeoutMs) * 1_000_000
            policy.breaker = UnsafePointer(
                memory.place([CircuitBreakerSettings(breaker, probeTimeout: timeout)]))
            policy.breaksEndpoints = breaker.scope != .model
            policy.breaksModel = breaker.scope != .endpoint
            policy.breakerFailures = FailureClasses(breaker.failures)
        }
        if let outlier {
            policy.outlierThreshold = UInt32(clamping: outlier.consecutiveErrors)
            policy.outlierFailures = FailureClasses(outlier.failures)
        }
        policy.slowStart = selection.slowStart.map(SlowStartSettings.init)
        policy.zonePreference = settings.zone.isEmpty ? nil : selection.zonePreference.map(ZonePreferenceSettings.init)
        if let check = model.healthCheck { policy.panicPercent = check.panicPercent }
        pool.policy = memory.place([policy])
        // The duties point back to the pool, whose place is known when all tables are.
        guard worker == description.shared.pointee.homeWorker, outlier != nil || model.healthCheck != nil
        else { return }
        pool.policy?.pointee.duties = duties(model, version, outlier)
    }

    private func duties(
        _ model: Settings.ModelSettings, _ version: Settings.VersionSettings, _ outlier: Settings.OutlierDetection?
    ) -> UnsafeMutablePointer<HealthDuties> {
        let nowhere = UnsafeMutablePointer<WorkerPool>(bitPattern: 64).unsafelyUnwrapped
        let duties = memory.place([
            HealthDuties(pool: nowhere, outlier: outlier.map(OutlierSettings.init), check: nil)
        ])
        guard let check = model.healthCheck else { return duties }
        let scheme = version.scheme
        let natural: Settings.HealthCheck.Kind =
            scheme?.speaksHTTP2 == true ? .grpc : scheme == .tcp ? .tcp : .http
        let kind = check.kind ?? natural
        if kind == .grpc, scheme?.speaksHTTP2 != true {
            error(
                model.position,
                "`health_check` of `\(model.name)` is `grpc`, and the endpoints of version `\(version.version)` speak "
                    + "HTTP/1.1 or raw TCP; use `http`, `tcp` or `ready`")
        } else if kind == .http, scheme == .tcp {
            error(
                model.position,
                "`health_check` of `\(model.name)` is `http`, and the endpoints of version `\(version.version)` speak "
                    + "raw TCP; use `tcp` or `ready`")
        }
        let message = HealthMessage.request(service: check.service)
        duties.pointee.check = HealthCheckPlan(
            kind: kind, path: memory.bytes(check.path),
            message: sluice_bytes(data: UnsafePointer(memory.place(message)), size: message.count),
            timeoutNs: UInt64(check.timeoutMs) * 1_000_000, settings: HealthSettings(check))
        return duties
    }

    /// Each home worker's duties learn where their pool is.
    func linkDuties(_ tables: [UnsafeMutablePointer<WorkerGeneration>]) {
        for table in tables {
            for index in 0..<table.pointee.poolCount {
                let pool = table.pointee.pools + index
                pool.pointee.policy?.pointee.duties?.pointee.pool = pool
            }
        }
    }

    // MARK: Waiting

    func queueLimits(_ queue: Settings.Queue) -> UnsafePointer<QueueLimits> {
        var limits = QueueLimits()
        limits.admission.capacity = queue.maxSize
        limits.admission.ageing = UInt64(queue.ageingMs) * 1_000_000
        limits.admission.tenants = queue.tenants
        limits.admission.fullPolicy =
            switch queue.whenFull {
            case .reject: .reject
            case .dropOldest: .dropOldest
            case .dropLowest: .dropLowest
            }
        limits.shedding = queue.shedding.map { shedding in
            var settings = LoadShedderSettings()
            settings.start = shedding.startPercent / 100
            settings.targetWait = UInt64(shedding.targetWaitMs) * 1_000_000
            settings.retryAfterLeast = UInt32(clamping: shedding.retryAfterSec)
            settings.retryAfterMost = UInt32(clamping: shedding.maxRetryAfterSec)
            return settings
        }
        if !queue.tenantWeights.isEmpty {
            let names = NameTable(queue.tenantWeights.map { memory.bytes($0.tenant) })
            memory.onFree { names.deallocate() }
            limits.tenants = names
            limits.weights = UnsafePointer(memory.place(queue.tenantWeights.map { UInt32(clamping: $0.weight) }))
        }
        return UnsafePointer(memory.place([limits]))
    }

    func concurrencyLimit(_ limit: Settings.Concurrency?) -> UnsafePointer<ConcurrencyLimitSettings>? {
        guard let limit else { return nil }
        var settings = ConcurrencyLimitSettings()
        settings.initial = UInt32(clamping: limit.limit)
        settings.minimum = UInt32(clamping: limit.minimum)
        settings.maximum = UInt32(clamping: limit.maximum)
        settings.window = UInt64(limit.windowMs) * 1_000_000
        settings.minimumSamples = UInt32(clamping: limit.minimumRequests)
        switch limit.algorithm {
        case .fixed:
            settings.algorithm = .fixed
            (settings.minimum, settings.maximum) = (settings.initial, settings.initial)
        case .gradient2: settings.algorithm = .gradient2
        case .vegas: settings.algorithm = .vegas
        }
        return UnsafePointer(memory.place([settings]))
    }

    // MARK: Degradation

    private func fallbackChain(
        _ model: Settings.ModelSettings, _ version: Settings.VersionSettings, _ description: PoolDescription
    ) -> UnsafePointer<FallbackChain>? {
        guard !model.fallbacks.isEmpty, let (pool, _) = place(of: model.name, version.version) else { return nil }
        let steps = model.fallbacks.compactMap { step -> FallbackStep? in
            switch step {
            // For the version itself there is no such step: that it cannot answer is known.
            case .version(let name): return name == version.version ? nil : poolStep(model.name, name)
            case .model(let name, let version, _): return poolStep(name, version)
            case .kept(let position):
                // Said once for a model, whose versions are built one by one.
                if version.version == model.versions.first?.version, !keepsAnswers(model) {
                    error(
                        position,
                        "no filter of the model keeps answers; add one that does to its `filters`, as `cache` is")
                }
                return FallbackStep(kind: .kept, name: memory.bytes("cached"))
            case .response(let response):
                return FallbackStep(
                    kind: .response(UInt16(clamping: response.status)),
                    contentType: memory.bytes(response.contentType), body: memory.bytes(response.body),
                    name: memory.bytes("response"))
            }
        }
        guard !steps.isEmpty else { return nil }
        let chain = FallbackChain(
            steps: UnsafePointer(memory.place(steps)), count: steps.count, pool: pool,
            metrics: description.shared.pointee.metrics)
        return UnsafePointer(memory.place([chain]))
    }

    /// Whether a filter on the way to the model may answer when nobody else does.
    private func keepsAnswers(_ model: Settings.ModelSettings) -> Bool {
        (settings.pipeline.filters + (model.filters ?? [])).contains { reference in
            plugins[reference.name]?.image.table(SLUICE_FILTER_2, as: sluice_filter_2.self)?.pointee.on_failure != nil
        }
    }

    private func poolStep(_ model: String, _ version: String?) -> FallbackStep? {
        guard let (index, version) = place(of: model, version) else { return nil }
        // In a field only what fits there: names may have any letters.
        let name = "\(model)/\(version)".unicodeScalars.map { scalar in
            (0x21...0x7E).contains(scalar.value) ? String(scalar) : "?"
        }
        return FallbackStep(kind: .pool(index), name: memory.bytes(name.joined()))
    }

    /// Where a model's version is among all pools, and which it is: without one, the model's first.
    private func place(of model: String, _ version: String?) -> (pool: UInt32, version: String)? {
        var index: UInt32 = 0
        for candidate in settings.models {
            for each in candidate.versions {
                if candidate.name == model, version == nil || each.version == version { return (index, each.version) }
                index += 1
            }
        }
        return nil
    }
}
