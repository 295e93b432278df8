import CLinux
import Glibc
import Configuration
import Rules
import SluiceABI
import Synchronization

/// The host as one plugin instance sees it: what stands behind its `sluice_host`. Made before `create` and kept until
/// `destroy` has returned.
final class InstanceContext: @unchecked Sendable {
    let plugin: String
    /// `plugin` for C callbacks; freed with the context.
    let source: UnsafeMutableBufferPointer<UInt8>
    /// The plugin as metrics and the tables of workers number it.
    let pluginID: Int32
    /// Nil for a shared instance.
    let workerIndex: Int?
    let environment: HostEnvironment
    let metrics: DeclaredMetricWriter
    let host: UnsafeMutablePointer<sluice_host>
    /// The models of the generation; set before any instance is made.
    let models: UnsafePointer<sluice_model>?
    let modelCount: UInt32
    let modelNames: NameTable?
    /// What the rules of this instance may call; the calls live as long as the generation.
    let functions: [NativeFunction]
    /// Compiled for this instance.
    var rules: [Rule] = []

    /// The main thread, on which `create` runs; threads that a plugin starts there may log already.
    private let maker = pthread_self()
    /// `create` is under way, on the main thread.
    var isCreating = true
    /// What `create` reported: a position and a message each.
    var problems: [(position: Position?, message: String)] = []
    /// What the present call on the main thread said of its failure as a whole.
    var failure: String?
    private(set) var isCalledOnMain = false
    /// The metrics of this instance: what was refused is none, and what was declared twice is one.
    private var declared: Set<UInt32> = []
    /// What `create` warned of.
    private(set) var warnings: [String] = []
    /// What the configuration has from the environment. Complete before `create` is called.
    private(set) var redaction = Redaction()
    /// The configuration tree that plugins hold pointers into while `create` runs.
    private var tree: [ConfigurationNode] = []
    /// Timers that run or wait for their worker, by id. In `create` the main thread's, then that worker's alone.
    var timers: [UInt64: UnsafeMutablePointer<PluginTimer>] = [:]
    /// Those on their way to their worker included: of a shared instance all workers start some.
    private let timerCount = Atomic<Int>(0)
    private let lastTimer = Atomic<UInt64>(0)

    static let metricsAtMost = 64
    static let timersAtMost = 1_024
    /// Warnings of `create` that are told as the file's. A plugin may have one for each model; what comes beyond is
    /// logged.
    static let warningsAtMost = 64

    init(
        plugin: String, workerIndex: Int?, environment: HostEnvironment, models: UnsafePointer<sluice_model>?,
        modelCount: UInt32, modelNames: NameTable?, functions: [NativeFunction] = []
    ) {
        self.plugin = plugin
        self.workerIndex = workerIndex
        self.environment = environment
        self.models = models
        self.modelCount = modelCount
        self.modelNames = modelNames
        self.functions = functions
        pluginID = environment.registry.plugin(plugin).index
        metrics = environment.registry.writer(worker: workerIndex)
        source = .allocate(capacity: plugin.utf8.count)
        _ = source.initialize(from: plugin.utf8)
        host = .allocate(capacity: 1)
        host.initialize(
            to: sluice_host(
                struct_size: UInt32(MemoryLayout<sluice_host>.size), abi_version: UInt32(SLUICE_ABI_VERSION),
                context: nil, service: HostServices.find))
        host.pointee.context = Unmanaged.passUnretained(self).toOpaque()
    }

    deinit {
        for metric in declared { environment.registry.letGo(of: metric) }
        for timer in timers.values { timer.deallocate() }
        host.deallocate()
        source.deallocate()
    }

    /// As the instance passes it to services.
    var handle: UnsafeMutableRawPointer? { host.pointee.context }

    static func from(_ context: UnsafeMutableRawPointer?) -> InstanceContext? {
        context.map { Unmanaged<InstanceContext>.fromOpaque($0).takeUnretainedValue() }
    }

    /// The same for the length of a call, in which its owner keeps it: whoever calls holds the instance.
    @inline(__always) @discardableResult
    static func with<Result>(
        _ context: UnsafeMutableRawPointer?, _ body: (InstanceContext) -> Result
    ) -> Result? {
        context.map { Unmanaged<InstanceContext>.fromOpaque($0)._withUnsafeGuaranteedRef(body) }
    }

    /// A node that plugins may hold until `create` returns; nil for nothing.
    ///
    /// - Parameter secrets: where scalars stand that came from the environment.
    func node(_ node: Node, secrets: [Position: String]) -> OpaquePointer? {
        if node.isNull { return nil }
        let box = ConfigurationNode(node, secrets)
        box.forEachSecret { redaction.add($0) }
        tree.append(box)
        return box.handle
    }

    /// Takes what `create` reports of a node, or of the whole.
    func report(_ node: ConfigurationNode?, _ message: String) {
        guard let node, node.isSecret, case .scalar(let text, _, _) = node.node else {
            return problems.append((node?.node.position, redaction.clean(message)))
        }
        problems.append((node.node.position, redaction.clean(message, about: text)))
    }

    /// A message for the log. What a plugin warns of while it is made is about its configuration, so it is told as
    /// such: once, whatever the number of workers, and by `check` as well.
    ///
    /// - Returns: false when it is to be logged.
    func warn(_ level: UInt32, _ message: sluice_bytes) -> Bool {
        guard level == UInt32(SLUICE_LOG_WARNING), pthread_self() == maker, isCreating,
            warnings.count < Self.warningsAtMost
        else { return false }
        warnings.append(redaction.clean(message.text))
        return true
    }

    func created() {
        isCreating = false
        tree = []
    }

    /// A call into the instance on the main thread.
    /// - Returns: its status, and what it said of its failure.
    func onMain(_ call: () -> sluice_status) -> (status: sluice_status, failure: String?) {
        failure = nil
        isCalledOnMain = true
        let status = call()
        isCalledOnMain = false
        return (status, failure)
    }

    func declare(
        kind: UInt32, name: String, description: String, labels: [(name: String, value: String)]
    ) -> UInt32? {
        guard isCreating, declared.count < Self.metricsAtMost, let kind = MetricKind(rawValue: kind),
            let metric = environment.registry.declare(
                plugin: plugin, kind: kind, name: name, description: description, labels: labels)
        else { return nil }
        if !declared.insert(metric).inserted { environment.registry.letGo(of: metric) }
        return metric
    }

    // MARK: Timers

    /// The worker that the instance's timers fire on.
    var timerWorker: Worker? {
        let index = workerIndex ?? 0
        return index < environment.workers.count ? environment.workers[index] : nil
    }

    /// Where the call comes from, as far as timers are concerned.
    private enum TimerCaller {
        /// `create`: the worker arms what it finds when it takes the generation over.
        case creation
        case timerWorker(Worker)
        /// Another worker, of a shared instance: it cannot touch the first one's wheel, nor the table of what runs.
        case other(Worker)
    }

    private var timerCaller: TimerCaller? {
        if isCreating { return .creation }
        guard let own = timerWorker, let caller = CurrentWorker.get() else { return nil }
        if own === caller { return .timerWorker(own) }
        return workerIndex == nil ? .other(own) : nil
    }

    func startTimer(
        delay: UInt64, fire: @escaping @convention(c) (UnsafeMutableRawPointer?) -> Void, user: UnsafeMutableRawPointer?
    ) -> UInt64 {
        guard let caller = timerCaller else { return 0 }
        guard timerCount.wrappingAdd(1, ordering: .relaxed).newValue <= Self.timersAtMost else {
            timerCount.wrappingSubtract(1, ordering: .relaxed)
            return 0
        }
        let timer = UnsafeMutablePointer<PluginTimer>.allocate(capacity: 1)
        let id = lastTimer.wrappingAdd(1, ordering: .relaxed).newValue
        timer.initialize(to: PluginTimer(context: Unmanaged.passUnretained(self), id: id, fire: fire, user: user))
        timer.pointee.node.kind = TimerKind.plugin
        timer.pointee.node.owner = UnsafeMutableRawPointer(timer)
        timer.pointee.delay = delay
        switch caller {
        case .creation: timers[id] = timer
        case .timerWorker(let worker):
            timers[id] = timer
            worker.arm(timer)
        case .other(let worker):
            worker.mailbox.send(.startTimer, pointer: UnsafeMutableRawPointer(timer))
        }
        return id
    }

    func cancelTimer(_ id: UInt64) {
        switch timerCaller {
        case .creation: forgetTimer(id)?.deallocate()
        case .timerWorker(let worker): cancelTimer(id, of: worker)
        case .other(let worker):
            worker.mailbox.send(
                .cancelTimer, value: id, pointer: Unmanaged.passUnretained(self).toOpaque())
        // In `destroy` none is left.
        case nil: break
        }
    }

    func cancelTimer(_ id: UInt64, of worker: Worker) {
        guard let timer = forgetTimer(id) else { return }
        worker.disarm(timer)
        timer.deallocate()
    }

    /// It has fired, or will not.
    func forgetTimer(_ id: UInt64) -> UnsafeMutablePointer<PluginTimer>? {
        guard let timer = timers.removeValue(forKey: id) else { return nil }
        timerCount.wrappingSubtract(1, ordering: .relaxed)
        return timer
    }
}

/// What all instances of a process share.
final class HostEnvironment: @unchecked Sendable {
    let registry: MetricRegistry
    let state: StateRegistry
    /// For work of plugins.
    let offload: OffloadPool
    /// For names of endpoints that discoveries bring. Apart, since the system's resolver may take half a minute for a
    /// name whose servers are away, and nothing breaks that off: nobody's token is to wait behind it. Four threads, so
    /// that one pool with dead names does not hold up the others; each pool asks for one name at a time, so that as
    /// many wait as pools, of which generations have not many more.
    let resolvers = OffloadPool(name: "sluice-resolve", threads: 4, waiting: 1_024)
    let inbox: ControlInbox
    /// Set once, before the first generation is published; empty for a check.
    var workers: [Worker] = []

    init(registry: MetricRegistry, state: StateRegistry, inbox: ControlInbox, server: Settings.Server) {
        offload = OffloadPool(
            name: "sluice-offload", threads: server.offloadThreads, waiting: server.offloadQueue)
        self.registry = registry
        self.state = state
        self.inbox = inbox
    }

    /// Where a discovery brings its sets.
    func feed(
        _ settings: Settings.Discovery, resolver: @escaping DiscoveryFeed.Resolver = DiscoveryFeed.systemResolver
    ) -> DiscoveryFeed {
        DiscoveryFeed(
            scheme: settings.scheme, whenEmpty: settings.whenEmpty, resolvers: resolvers, inbox: inbox,
            resolver: resolver)
    }
}

/// A timer of a plugin instance.
struct PluginTimer {
    /// First, so that a timer's address is its own.
    var node = TimerNode()
    let context: Unmanaged<InstanceContext>
    let id: UInt64
    let fire: @convention(c) (UnsafeMutableRawPointer?) -> Void
    let user: UnsafeMutableRawPointer?
    /// Nanoseconds.
    var delay: UInt64 = 0

    init(
        context: Unmanaged<InstanceContext>, id: UInt64,
        fire: @escaping @convention(c) (UnsafeMutableRawPointer?) -> Void, user: UnsafeMutableRawPointer?
    ) {
        self.context = context
        self.id = id
        self.fire = fire
        self.user = user
    }
}

extension UnsafeMutablePointer<PluginTimer> {
    var node: UnsafeMutablePointer<TimerNode> {
        UnsafeMutableRawPointer(self).assumingMemoryBound(to: TimerNode.self)
    }
}

/// A node of a configuration tree at a fixed address, with its texts as bytes.
final class ConfigurationNode {
    let node: Node
    /// A scalar whose text came from the environment.
    let isSecret: Bool
    let children: [ConfigurationNode]
    let keys: [UnsafeMutableBufferPointer<UInt8>]
    let text: UnsafeMutableBufferPointer<UInt8>

    init(_ node: Node, _ secrets: [Position: String]) {
        self.node = node
        isSecret = secrets[node.position] != nil
        switch node {
        case .scalar(let value, _, _):
            children = []
            keys = []
            text = Self.bytes(value)
        case .sequence(let nodes, _):
            children = nodes.map { ConfigurationNode($0, secrets) }
            keys = []
            text = Self.bytes("")
        case .mapping(let entries, _):
            children = entries.map { ConfigurationNode($0.value, secrets) }
            keys = entries.map { Self.bytes($0.key) }
            text = Self.bytes("")
        }
    }

    deinit {
        for key in keys { key.deallocate() }
        text.deallocate()
    }

    func forEachSecret(_ body: (String) -> Void) {
        if isSecret, case .scalar(let text, _, _) = node { body(text) }
        for child in children { child.forEachSecret(body) }
    }

    private static func bytes(_ text: String) -> UnsafeMutableBufferPointer<UInt8> {
        let buffer = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
        _ = buffer.initialize(from: text.utf8)
        return buffer
    }

    var handle: OpaquePointer { OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }

    static func from(_ handle: OpaquePointer?) -> ConfigurationNode? {
        handle.map { Unmanaged<ConfigurationNode>.fromOpaque(UnsafeRawPointer($0)).takeUnretainedValue() }
    }
}

/// Blocks of memory that outlive generations, by plugin and name. [main]
final class StateRegistry {
    static let blockBytesAtMost = 1_048_576
    static let blocksAtMost = 256

    private struct Key: Hashable {
        var plugin: String
        /// As bytes: a `String` equals others that Unicode calls equivalent, and broken UTF-8 becomes one and the same.
        var name: [UInt8]
        var size: Int
    }
    private var blocks: [Key: UnsafeMutableRawPointer] = [:]
    private var counts: [String: Int] = [:]

    func block(plugin: String, name: [UInt8], size: Int) -> UnsafeMutableRawPointer? {
        guard size > 0, size <= Self.blockBytesAtMost else { return nil }
        let key = Key(plugin: plugin, name: name, size: size)
        if let known = blocks[key] { return known }
        guard counts[plugin, default: 0] < Self.blocksAtMost else { return nil }
        let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
        memset(memory, 0, size)
        blocks[key] = memory
        counts[plugin, default: 0] += 1
        return memory
    }
}
