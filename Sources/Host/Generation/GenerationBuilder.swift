import CLinux
import Glibc
import Configuration
import Rules
import SluiceABI

/// What outlives generations and is needed to make one. [main]
final class GenerationWorkshop {
    let images: ImageRegistry
    let endpoints: EndpointRegistry
    let discoveries = DiscoveryStore()
    let environment: HostEnvironment
    let sharedPools: SharedPools
    let contexts = TLSContexts()
    let libraries = FunctionLibraries()
    let workerCount: Int
    /// Where a library without a slash is looked for after `plugin_path`: the directory of the executable.
    let programDirectory: String
    private var started: Set<String> = []

    init(images: ImageRegistry, environment: HostEnvironment, workerCount: Int, programDirectory: String) {
        self.images = images
        self.environment = environment
        self.workerCount = workerCount
        endpoints = EndpointRegistry(workerCount: workerCount)
        self.programDirectory = programDirectory
        sharedPools = SharedPools(registry: environment.registry, workerCount: workerCount)
    }

    /// Calls a plugin's `start` before its first instance.
    /// - Returns: its status; SLUICE_OK also where there is nothing to call.
    func start(_ image: PluginImage) -> sluice_status {
        guard started.insert(image.digest).inserted, let start = image.entry.pointee.start else { return SLUICE_OK }
        let status = start()
        if status != SLUICE_OK { started.remove(image.digest) }
        return status
    }

    /// Calls `stop` of every plugin that was started, after its last instance.
    func stopPlugins() {
        for image in images.all where started.remove(image.digest) != nil { image.entry.pointee.stop?() }
    }

    /// Loads, probes and creates all that `settings` name. A failure leaves nothing behind but loaded images
    /// and the names of series, which never go.
    func build(_ settings: Settings, number: UInt64) -> (generation: Generation?, diagnostics: [Diagnostic]) {
        let builder = GenerationBuilder(self, settings, number)
        let generation = builder.build()
        return (generation, ConfigurationReader.ordered(builder.diagnostics))
    }
}

/// Makes one generation. Used once.
final class GenerationBuilder {
    let workshop: GenerationWorkshop
    let settings: Settings
    let number: UInt64
    let memory = GenerationMemory()
    var diagnostics: [Diagnostic] = []
    var plugins: [String: LoadedPlugin] = [:]
    var instances: [PluginInstance] = []
    var contexts: [[InstanceContext]]
    /// Shared instances, by plugin, extension and pool.
    private var sharedInstances: [String: PluginInstance] = [:]
    /// What rules may call.
    var functions: [NativeFunction] = []
    private var pools: [PoolDescription] = []
    var discoveries: [DiscoveryLink] = []
    /// In the order of `settings.listeners`, those with TLS.
    private(set) var secured: [SecuredListener] = []
    private(set) var modelViews: UnsafeMutablePointer<sluice_model>
    private(set) var modelNames = NameTable([])

    init(_ workshop: GenerationWorkshop, _ settings: Settings, _ number: UInt64) {
        self.workshop = workshop
        self.settings = settings
        self.number = number
        contexts = Array(repeating: [], count: workshop.workerCount)
        modelViews = memory.allocate(sluice_model.self, settings.models.count)
    }

    var failed: Bool { diagnostics.contains { $0.severity == .error } }

    func build() -> Generation? {
        loadPlugins()
        loadFunctions()
        // Without them what plugins have to say would only follow from that.
        let isComplete = !failed
        describeModels()
        resolvePools()
        secureListeners()
        makeDiscoveries()
        checkCores()
        var tables: [UnsafeMutablePointer<WorkerGeneration>] = []
        for worker in 0..<workshop.workerCount {
            // The first one also where a host or a certificate has failed: plugins tell their errors with those.
            guard isComplete else { break }
            if let table = buildTables(worker) { tables.append(table) }
            if failed { break }
        }
        if !failed {
            linkBatching(tables)
            linkDuties(tables)
        }
        if !failed { warnOfIdlePlugins() }
        guard !failed else {
            for instance in instances.reversed() { instance.destroy() }
            memory.free()
            return nil
        }
        let shared = contexts[0].filter { $0.workerIndex == nil }
        for (worker, table) in tables.enumerated() {
            let list = Unmanaged.passRetained(InstanceContexts(contexts[worker], shared: shared))
            table.pointee.contexts = list
            memory.onFree { list.release() }
        }
        return Generation(
            number: number, settings: settings, tables: tables,
            plugins: settings.plugins.compactMap { plugins[$0.name] }, pools: pools, discoveries: discoveries,
            instances: instances, memory: memory)
    }

    /// Workers are pinned when they begin: a core that is not there leaves its worker unpinned.
    private func checkCores() {
        guard case .cores(let list) = settings.server.cpuAffinity, let position = settings.affinityPosition
        else { return }
        let usable = Set((0..<clinux_core_count()).map { Int(clinux_core_at($0)) })
        let missing = Set(list).subtracting(usable).sorted()
        guard !missing.isEmpty else { return }
        let numbers = missing.map(String.init).joined(separator: ", ")
        diagnostics.append(
            Diagnostic(
                .warning, position,
                "this process may not use core \(numbers), so that a worker runs on any; name others, or take `auto`"))
    }

    // MARK: Plugins

    private func loadPlugins() {
        for plugin in settings.plugins {
            guard let path = resolve(plugin) else { continue }
            switch workshop.images.load(
                path: path, pin: plugin.sha256, allowGroupWritable: plugin.allowGroupWritable)
            {
            case .success(let image):
                let status = workshop.start(image)
                if status == SLUICE_OK {
                    plugins[plugin.name] = LoadedPlugin(settings: plugin, image: image, path: path)
                } else {
                    // It has no host yet to tell a reason to.
                    error(
                        plugin.position, of: "plugin `\(plugin.name)`: ",
                        "its start function failed with status \(status), and can tell no reason")
                }
            case .failure(let refusal):
                error(plugin.libraryPosition, of: "plugin `\(plugin.name)`: ", refusal.message)
            }
        }
    }

    /// What nothing names makes no instance, so that not even its `config` is read: a forgotten name, most likely.
    private func warnOfIdlePlugins() {
        var busy = Set(instances.map(\.context.plugin))
        // Named, but of no use to models that the gateway serves itself.
        let links = [settings.pipeline.balancer, settings.pipeline.batcher]
        for link in links + settings.models.flatMap({ [$0.balancer ?? nil, $0.batcher ?? nil] }) {
            if let link { busy.insert(link.name) }
        }
        for plugin in settings.plugins where !busy.contains(plugin.name) {
            diagnostics.append(
                Diagnostic(
                    .warning, plugin.position,
                    "plugin `\(plugin.name)` is loaded and does nothing, its `config` unread, as neither `pipeline` "
                        + "nor a model or listener names it; name it there, or take it out"))
        }
    }

    private func resolve(_ plugin: Settings.PluginSettings) -> String? {
        if plugin.library.contains("/") { return plugin.library }
        let directories = settings.pluginPath + [workshop.programDirectory]
        for directory in directories {
            let path = directory + "/" + plugin.library
            if access(path, F_OK) == 0 { return path }
        }
        error(
            plugin.libraryPosition, of: "plugin `\(plugin.name)`: ",
            "`\(plugin.library)` is in none of \(directories.joined(separator: ", ")); "
                + "put it there, or give its path")
        return nil
    }

    /// The plugin of a reference with the table of an extension, or nil after an error.
    func extensionTable<Table>(
        _ reference: Settings.PluginReference, _ id: StaticString, _ kind: String, as type: Table.Type
    ) -> (plugin: LoadedPlugin, table: UnsafePointer<Table>)? {
        // A plugin that was not loaded has its own error already.
        guard let plugin = plugins[reference.name] else { return nil }
        guard let table = plugin.image.table("\(id)", as: type) else {
            let offers = plugin.image.extensions.map(\.id).joined(separator: ", ")
            error(
                reference.position,
                "`\(reference.name)` is no \(kind): \(plugin.settings.library) offers \(offers)")
            return nil
        }
        return (plugin, table)
    }

    // MARK: Models

    private func describeModels() {
        var names: [sluice_bytes] = []
        var pool: UInt32 = 0
        for (index, model) in settings.models.enumerated() {
            let name = memory.bytes(model.name)
            names.append(name)
            var versions: [sluice_version] = []
            for version in model.versions {
                versions.append(
                    sluice_version(
                        name: memory.bytes(version.version), pool: pool, weight: UInt32(clamping: version.weight),
                        upstream_model: memory.bytes(version.upstreamModel ?? model.name),
                        upstream_version: memory.bytes(version.upstreamVersion ?? version.version)))
                pool += 1
            }
            let labels = model.labels.compactMap { label in
                model.versions.firstIndex { $0.version == label.version }.map {
                    sluice_label(name: memory.bytes(label.label), version: UInt32($0), reserved: 0)
                }
            }
            (modelViews + index).initialize(
                to: sluice_model(
                    name: name, versions: UnsafePointer(memory.place(versions)),
                    version_count: UInt32(versions.count), label_count: UInt32(labels.count),
                    labels: UnsafePointer(memory.place(labels))))
        }
        modelNames = NameTable(names)
        let table = modelNames
        memory.onFree { table.deallocate() }
    }

    private func resolvePools() {
        let answers = HostNames.answers(to: newNames())
        for model in settings.models {
            for version in model.versions {
                let key = ModelVersionKey(model: model.name, version: version.version)
                // Those of a discovery begin with its last known set.
                var members =
                    version.discovery.map { workshop.discoveries.state(of: key).members(of: $0.scheme) } ?? []
                for (endpoint, position) in zip(version.endpoints, version.endpointPositions) {
                    var address: SocketAddress?
                    switch name(of: endpoint).flatMap({ answers[$0] }) {
                    case nil: break
                    case .success(let found)?: address = found
                    case .failure(let failure)?:
                        error(position, Self.words(for: failure, of: endpoint.text))
                        continue
                    }
                    switch workshop.endpoints.endpoint(for: endpoint, address: address) {
                    case .success(let found):
                        members.append(
                            workshop.member(
                                found, of: key, weight: UInt32(clamping: endpoint.weight), zone: endpoint.zone))
                    case .failure(.unresolvable(let text)):
                        error(position, Self.words(for: .unknown, of: text))
                    case .failure(.tooMany):
                        error(
                            position,
                            "more than \(EndpointRegistry.bound) endpoints are in use; those that nothing names are "
                                + "forgotten after a minute"
                        )
                    }
                }
                members = settings.subset(of: members, model: model.name)
                if members.count > Worker.endpointsAtMost {
                    error(version.position, "a pool has at most \(Worker.endpointsAtMost) endpoints")
                }
                let tls = version.tls.flatMap { tls in
                    secure { () throws(TLSContext.Failure) in
                        try workshop.contexts.endpoint(
                            tls, speaksHTTP2: version.scheme?.speaksHTTP2 == true)
                    }
                }
                let breaker = model.circuitBreaker ?? settings.circuitBreaker
                pools.append(
                    PoolDescription(
                        model: model.name, version: version.version, backend: version.backend?.name,
                        list: members, shared: workshop.sharedPools.pool(key), tls: tls,
                        breakers: version.backend == nil ? BreakerView(breaker, memory) : nil))
            }
        }
    }

    private func name(of endpoint: Settings.EndpointSettings) -> HostNames.Name? {
        guard case .tcp(let host, let port) = endpoint.target, SocketAddress.numeric(host: host, port: port) == nil
        else { return nil }
        return HostNames.Name(host: host, port: port)
    }

    /// Of endpoints that have no place yet.
    private func newNames() -> Set<HostNames.Name> {
        let all = settings.models.flatMap { $0.versions.flatMap(\.endpoints) }
        return Set(all.filter { !workshop.endpoints.knows($0.text) }.compactMap { name(of: $0) })
    }

    private static func words(for failure: SocketAddress.LookUpFailure, of text: String) -> String {
        switch failure {
        case .unknown: "the host of `\(text)` is not known; correct it, or give an address"
        case .noAnswer:
            "the host of `\(text)` cannot be looked up: the name servers do not answer; try again, or give an address"
        case .other(let words): "the host of `\(text)` cannot be looked up: \(words); try again, or give an address"
        }
    }

    // MARK: TLS

    private func secureListeners() {
        for listener in settings.listeners {
            guard let tls = listener.tls,
                let context = secure({ () throws(TLSContext.Failure) in
                    try workshop.contexts.listener(tls, speaksHTTP: listener.adapter == nil)
                })
            else { continue }
            secured.append(
                SecuredListener(
                    listener: 0, context: context.pointer,
                    subjectField: tls.clientCA == nil ? .empty : memory.bytes(tls.subjectField)))
        }
    }

    /// A context that lives as long as the generation, or nil after an error.
    private func secure(_ make: () throws(TLSContext.Failure) -> TLSContext) -> TLSContext? {
        do throws(TLSContext.Failure) {
            let context = try make()
            memory.onFree { withExtendedLifetime(context) {} }
            return context
        } catch {
            self.error(error.position, error.message)
            return nil
        }
    }

    func pool(at index: Int) -> PoolDescription { pools[index] }

    // MARK: Instances

    /// Makes an instance, or finds the shared one. Nil after an error.
    func instantiate(
        _ plugin: LoadedPlugin, _ table: UnsafeRawPointer, _ id: String, worker: Int, reference: Position,
        model: String = "", version: String = "", modelConfig: Node? = nil
    ) -> PluginInstance? {
        let base = table.assumingMemoryBound(to: sluice_instance.self)
        let isShared = base.pointee.instancing == UInt32(SLUICE_INSTANCE_SHARED)
        let key = "\(plugin.settings.name)\u{0}\(id)\u{0}\(model)\u{0}\(version)"
        if isShared, let known = sharedInstances[key] { return known }
        let context = InstanceContext(
            plugin: plugin.settings.name, workerIndex: isShared ? nil : worker, environment: workshop.environment,
            models: UnsafePointer(modelViews), modelCount: UInt32(settings.models.count), modelNames: modelNames,
            functions: functions)
        let name = memory.bytes(plugin.settings.name)
        var arguments = sluice_create()
        arguments.struct_size = UInt32(MemoryLayout<sluice_create>.size)
        arguments.worker = isShared ? SLUICE_NONE : UInt32(worker)
        arguments.worker_count = UInt32(workshop.workerCount)
        arguments.name = name
        arguments.model = memory.bytes(model)
        arguments.version = memory.bytes(version)
        arguments.config = context.node(plugin.settings.config, secrets: settings.secrets)
        arguments.model_config = modelConfig.flatMap { context.node($0, secrets: settings.secrets) }
        var pointer: UnsafeMutableRawPointer?
        let (status, failure) = context.onMain {
            base.pointee.create.unsafelyUnwrapped(context.host, &arguments, &pointer)
        }
        context.created()
        for warning in context.warnings { warn(plugin.settings, warning) }
        for problem in context.problems {
            error(
                problem.position ?? plugin.settings.position, of: "plugin `\(plugin.settings.name)`: ", problem.message)
        }
        guard status == SLUICE_OK else {
            // One mistake is one error: where it was told at its place, the failure as a whole says no more.
            if context.problems.isEmpty, let failure {
                error(plugin.settings.position, of: "plugin `\(plugin.settings.name)`: ", failure)
            } else if context.problems.isEmpty {
                error(
                    reference, of: "plugin `\(plugin.settings.name)` ",
                    "refused to start (status \(status)) without a reason")
            }
            return nil
        }
        let instance = PluginInstance(context: context, table: base, pointer: pointer)
        instances.append(instance)
        contexts[isShared ? 0 : worker].append(context)
        if isShared { sharedInstances[key] = instance }
        return instance
    }

    func metricsID(_ name: String) -> Int32 { workshop.environment.registry.plugin(name).index }
}
