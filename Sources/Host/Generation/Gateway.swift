import CLinux
import Glibc
import Configuration
import Logging
import Resilience
import SluiceABI

/// The gateway of this process: its workers, its generations, and the main thread's loop around them. [main]
final class Gateway: ControlPlane {
    private let configurationPath: String
    private let registry: MetricRegistry
    private let workshop: GenerationWorkshop
    private let workers: [Worker]
    private let inbox: ControlInbox
    private let listeners: Listeners
    private let discovery: DiscoveryControl
    private lazy var admin = AdminServer(plane: self)
    private let started = clinux_monotonic_ns()
    /// The last one is in force; those before it drain.
    private var generations: [Generation] = []
    private var nextNumber: UInt64 = 1
    private var initial: Settings
    private var workersLeft: Set<Int> = []
    private var drainDeadline: UInt64?
    /// From the first SIGTERM on, also when the drain's time is over.
    private var isStopping = false
    private var signals: Int32 = -1
    private var adminSocket: String?

    init?(configurationPath: String, settings: Settings) {
        let workerCount = settings.server.workerThreads ?? Int(clinux_core_count())
        guard let registry = MetricRegistry(workerCount: workerCount), let inbox = ControlInbox() else { return nil }
        self.configurationPath = configurationPath
        self.registry = registry
        self.inbox = inbox
        initial = settings
        let environment = HostEnvironment(
            registry: registry, state: StateRegistry(), inbox: inbox, server: settings.server)
        workshop = GenerationWorkshop(
            images: ImageRegistry(), environment: environment, workerCount: workerCount,
            programDirectory: Program.directory)
        listeners = Listeners(workerCount: workerCount)
        let workerSettings = WorkerSettings(
            maxConnections: settings.server.maxConnections,
            maxUpstreamConnections: settings.server.maxConnections * 2 + 1_024,
            spareBufferBytes: settings.server.spareBufferBytes,
            spareStreamBytes: settings.server.spareStreamBytes,
            cores: Self.cores(settings.server.cpuAffinity, workerCount),
            connections: ConnectionCount(bound: settings.server.maxConnections))
        var workers: [Worker] = []
        for index in 0..<workerCount {
            guard
                let worker = Worker(
                    index: index, settings: workerSettings, metrics: registry.shards[index], control: inbox)
            else { return nil }
            workers.append(worker)
        }
        self.workers = workers
        discovery = DiscoveryControl(workshop: workshop, workers: workers)
        environment.workers = workers
        for worker in workers { worker.peers = workers }
    }

    // MARK: Life

    /// Serves until SIGTERM or SIGINT. The exit code.
    func run() -> Int32 {
        guard begin() else {
            workshop.stopPlugins()
            return 1
        }
        while workersLeft.count < workers.count {
            let ready = admin.turn(waitingFor: [signals, inbox.descriptor], timeoutMs: nextTurnMs())
            if ready.contains(signals) { readSignals() }
            for note in inbox.take() { handle(note) }
            expireGenerations()
            if let active = generations.last { discovery.expire(active) }
            if let due = discovery.nextSweepMs, due <= 1 { discovery.sweep(generations) }
            if let drainDeadline, clinux_monotonic_ns() >= drainDeadline {
                self.drainDeadline = nil
                for worker in workers { worker.mailbox.send(.abort) }
            }
        }
        admin.close()
        listeners.releaseAll()
        for generation in generations { generation.destroy() }
        workshop.stopPlugins()
        HostLog.logger.info("stopped")
        HostLog.stop()
        return 0
    }

    private func begin() -> Bool {
        blockSignals()
        Self.raiseDescriptorLimit()
        // Plugins log, and ask whether they may, while their instances are made.
        HostLog.configure(initial.monitoring)
        let (built, diagnostics) = workshop.build(initial, number: nextNumber)
        for diagnostic in diagnostics { StandardStream.error.write(diagnostic.description + "\n") }
        guard let generation = built else { return false }
        nextNumber += 1
        do throws(Listeners.Failure) {
            let made = try open(initial)
            for worker in workers { startThread(name: "sluice-\(worker.index)") { worker.run() } }
            generation.link(made)
            discovery.begin(generation)
            publish(generation)
            listeners.announce(made, to: workers)
        } catch {
            // Nothing of it was published: neither the workers nor a discovery know it.
            generation.destroy()
            StandardStream.error.write(error.message + "\n")
            return false
        }
        HostLog.start(initial.monitoring)
        greet(generation)
        return true
    }

    /// Opens what `settings` name and is not open: all of it or nothing.
    private func open(_ settings: Settings) throws(Listeners.Failure) -> [Listeners.Open] {
        let made = try listeners.prepare(settings.listeners)
        do throws(Listeners.Failure) {
            try openAdmin(settings)
        } catch {
            listeners.discard(made)
            throw error
        }
        return made
    }

    private func openAdmin(_ settings: Settings) throws(Listeners.Failure) {
        do throws(AdminError) {
            let isMoved = !settings.admin.socket.isEmpty && adminSocket != settings.admin.socket
            if isMoved { try admin.listen(path: settings.admin.socket) }
            let place = settings.monitoring.metricsPort.map { (settings.monitoring.metricsAddress, $0) }
            do throws(AdminError) {
                metricsPort = try admin.listenForMetrics(at: place)
            } catch {
                // Both or none: whoever has the configuration in force must find its socket.
                if isMoved { admin.stopListening(path: settings.admin.socket) }
                throw error
            }
            guard isMoved else { return }
            if let adminSocket { admin.stopListening(path: adminSocket) }
            adminSocket = settings.admin.socket
        } catch {
            throw Listeners.Failure(message: "sluice: error: \(error)")
        }
    }

    private var metricsPort: UInt16?

    private func greet(_ generation: Generation) {
        let fault = StandardStream.output.write(Greeting.text(generation, listeners.open, metricsPort: metricsPort))
        guard fault != 0 else { return }
        HostLog.logger.warning("the greeting could not be written: \(String(cString: strerror(fault)))")
    }

    private func publish(_ generation: Generation) {
        discovery.published(generation, after: generations)
        if let old = generations.last { WarmUp.begin(generation, after: old, now: clinux_monotonic_ns()) }
        generation.limitPools(after: generations.last)
        generations.append(generation)
        for (index, worker) in workers.enumerated() {
            worker.mailbox.send(.generation, pointer: UnsafeMutableRawPointer(generation.tables[index]))
        }
        discovery.sweep(generations)
    }

    // MARK: Signals

    private func blockSignals() {
        var set = sigset_t()
        sigemptyset(&set)
        for signal in [SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGUSR2] { sigaddset(&set, signal) }
        pthread_sigmask(SIG_BLOCK, &set, nil)
        signal(SIGPIPE, SIG_IGN)
        signals = signalfd(-1, &set, Int32(SFD_CLOEXEC | SFD_NONBLOCK))
    }

    private func readSignals() {
        var information = signalfd_siginfo()
        while read(signals, &information, MemoryLayout<signalfd_siginfo>.size) > 0 {
            switch Int32(information.ssi_signo) {
            case SIGHUP: _ = reload()
            // Other servers open their logs anew, or begin an upgrade. Whoever sends them here out of habit, as scripts
            // that rotate logs do, is not to end the gateway, which is what these signals do by default.
            case SIGUSR1, SIGUSR2:
                HostLog.logger.warning("SIGUSR1 and SIGUSR2 do nothing here; SIGHUP reloads the configuration")
            default: drain()
            }
        }
    }

    private func drain() {
        guard !isStopping else { return }
        isStopping = true
        HostLog.logger.notice("draining")
        let timeout = generations.last?.settings.reload.drainTimeoutMs ?? 0
        drainDeadline = clinux_monotonic_ns() + UInt64(timeout) * 1_000_000
        listeners.removeFiles()
        for worker in workers { worker.mailbox.send(.drain) }
    }

    // MARK: Reload

    /// Reads the configuration again; on any failure the running generation stays as it is. Who asked gets the outcome,
    /// and the log has it in any case.
    func reload() -> ReloadOutcome {
        let outcome = tryReload()
        // A signal has no other answer than the log: a refusal and its reasons are there at every level.
        let level: Logger.Level =
            outcome.succeeded ? .warning : HostLog.writer.enabled(rank: LogFormatter.rank(.error)) ? .error : .critical
        for line in outcome.diagnostics { HostLog.logger.log(level: level, "\(line)") }
        if outcome.succeeded {
            HostLog.logger.notice("reloaded: generation \(outcome.generation) is in force")
        } else {
            HostLog.logger.log(level: level, "reload refused: generation \(outcome.generation) stays in force")
        }
        return outcome
    }

    private func tryReload() -> ReloadOutcome {
        let result = ConfigurationReader(environment: Program.environment).read(path: configurationPath)
        var diagnostics = result.diagnostics
        func outcome(_ succeeded: Bool) -> ReloadOutcome {
            registry.reloaded(succeeded ? .succeeded : .refused)
            return ReloadOutcome(
                succeeded: succeeded, generation: generations.last?.number ?? 0,
                diagnostics: diagnostics.map(\.description))
        }
        if isStopping {
            var refused = outcome(false)
            refused.diagnostics.append(
                "sluice: error: the gateway is stopping; start it again with the new configuration")
            return refused
        }
        guard let settings = result.settings else { return outcome(false) }
        diagnostics += fixedUntilRestart(settings)
        let (built, problems) = workshop.build(settings, number: nextNumber)
        diagnostics += problems
        guard let generation = built else { return outcome(false) }
        do throws(Listeners.Failure) {
            let made = try open(settings)
            nextNumber += 1
            generation.link(listeners.open + made)
            // May wait for the first endpoints: until then the old generation serves, with all its listeners.
            discovery.begin(generation)
            let old = generations.last
            // What waits at a listener that goes is accepted before the new generation comes, which knows nothing of
            // it: not whether it speaks TLS, nor whom it lets in.
            listeners.retire(except: settings.listeners, from: workers)
            publish(generation)
            old?.retiredAt = clinux_monotonic_ns()
            listeners.announce(made, to: workers)
            listeners.update(to: settings.listeners, workers)
        } catch {
            generation.destroy()
            var failed = outcome(false)
            failed.diagnostics.append(error.message)
            return failed
        }
        HostLog.configure(settings.monitoring)
        // Whoever waits for the outcome may rely on it: from here on every new request is on the new generation.
        _ = snapshots()
        for note in inbox.take() { handle(note) }
        return outcome(true)
    }

    /// What a reload cannot change is said, not silently ignored.
    private func fixedUntilRestart(_ settings: Settings) -> [Diagnostic] {
        settings.changedUntilRestart(since: initial).map {
            Diagnostic(
                .warning, $0.position ?? Position(file: configurationPath, line: 1, column: 1),
                "`gateway.\($0.key)` was changed, which takes effect after a restart only")
        }
    }

    private func handle(_ note: ControlInbox.Note) {
        switch note {
        case .workerLeft(let worker): workersLeft.insert(worker)
        case .discovered:
            guard let active = generations.last else { return }
            discovery.look(active)
            discovery.sweep(generations)
        case .forgotten(let question): discovery.forgotten(question)
        case .generationLeft(let number, let worker):
            guard let position = generations.firstIndex(where: { $0.number == number }) else { return }
            generations[position].left.insert(worker)
            // While the gateway stops, workers leave without another word: all generations go with the last one.
            guard generations[position].left.count == workers.count, !isStopping else { return }
            // Until then exchanges of other workers may have waited for what a timer of a shared instance does.
            if let first = workers.first, !workersLeft.contains(first.index) {
                first.mailbox.send(
                    .stopTimers, pointer: UnsafeMutableRawPointer(generations[position].tables[first.index]))
            }
            // A worker may still be in the event that ended the last exchange: destroy only when each has answered.
            let snapshots = snapshots()
            guard workers.allSatisfy({ snapshots[$0.index] != nil || workersLeft.contains($0.index) }) else {
                inbox.send(note)
                return
            }
            // A batch that began after its worker had left, for a member of another one. It tells when it has ended.
            guard snapshots.allSatisfy({ $0?.byGeneration[number, default: 0] ?? 0 == 0 }) else { return }
            generations.remove(at: position).destroy(telling: workers)
            discovery.sweep(generations)
        }
    }

    private func expireGenerations() {
        let now = clinux_monotonic_ns()
        for generation in generations where generation.retiredAt > 0 && !generation.expired {
            // It is there only because a stop destroys all generations at its end.
            if isStopping, generation.left.count == workers.count { continue }
            let timeout = UInt64(generation.settings.reload.drainTimeoutMs) * 1_000_000
            guard now >= generation.retiredAt + timeout else { continue }
            generation.expired = true
            HostLog.logger.warning("generation \(generation.number) had exchanges left after its drain timeout: cut")
            for worker in workers { worker.mailbox.send(.expire, value: generation.number) }
        }
    }

    private func nextTurnMs() -> Int32 {
        let drains = drainDeadline != nil || generations.contains { $0.retiredAt > 0 && !$0.expired }
        if drains { return 50 }
        let dues = [discovery.nextSweepMs, generations.last.flatMap { discovery.nextExpiryMs($0) }]
        return dues.compactMap(\.self).min().map { Int32(clamping: $0) } ?? -1
    }

    // MARK: Status

    private func snapshots() -> [WorkerSnapshot?] {
        let requests = workers.map { worker -> SnapshotRequest? in
            guard !workersLeft.contains(worker.index) else { return nil }
            let request = SnapshotRequest()
            worker.mailbox.send(.snapshot, pointer: Unmanaged.passRetained(request).toOpaque())
            return request
        }
        return requests.map { $0?.wait() }
    }

    func metricsText() -> [UInt8] { registry.prometheusText(status: status()) }

    func status() -> StatusReport {
        let snapshots = snapshots()
        var report = StatusReport()
        report.pid = getpid()
        report.uptimeSeconds = Double(clinux_monotonic_ns() - started) / 1e9
        report.configuration = configurationPath
        report.listeners = listeners.open.map(\.text)
        report.workers = snapshots.map {
            StatusReport.Worker(connections: $0?.clients ?? 0, exchanges: $0?.exchanges ?? 0)
        }
        report.images = workshop.images.all.map {
            StatusReport.Image(sha256: $0.digest, path: $0.path, bytes: $0.size)
        }
        for generation in generations {
            let isActive = generation === generations.last
            let exchanges = snapshots.compactMap(\.self).reduce(0) { $0 + ($1.byGeneration[generation.number] ?? 0) }
            report.generations.append(
                StatusReport.Generation(
                    number: generation.number, state: isActive ? .active : .draining, exchanges: exchanges))
        }
        guard let active = generations.last else { return report }
        report.plugins = active.plugins.map {
            StatusReport.Plugin(
                name: $0.settings.name, library: $0.path, version: $0.image.version, sha256: $0.image.digest,
                extensions: $0.image.extensions.map(\.id),
                degraded: registry.isDegraded(plugin: $0.settings.name))
        }
        report.models = active.settings.models.map { model in
            StatusReport.Model(
                name: model.name,
                versions: active.pools.enumerated().filter { $0.element.model == model.name }.map { index, pool in
                    var version = pool.status
                    version.discovery = active.discoveries.first { $0.pool == index }.map(discovery.describe)
                    return version
                })
        }
        return report
    }
}
