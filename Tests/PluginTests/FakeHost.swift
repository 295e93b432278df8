import SluiceABI

/// A host for tests, in this process: all services of the ABI over plain Swift values, with a clock that stands still
/// until told, timers that fire when it is moved, and offloaded work that runs when asked for. One thread only.
final class FakeHost {
    // What a test sets.
    var monotonic: UInt64 = 1_000_000_000
    var wall: UInt64 = 1_700_000_000_000_000_000
    var logLevel = UInt32(SLUICE_LOG_DEBUG)
    var offloadBound = 1024
    /// Bytes that an exchange's arena gives out.
    var arenaBound = 64 << 20
    /// Attempts under way by pool.
    var inFlight: [UInt32: UInt32] = [:]
    /// Ids of services that `service` does not know.
    var missingServices: Set<String> = []

    // What a test looks at.
    private(set) var failure = ""
    private(set) var log: [(level: UInt32, text: String)] = []
    private(set) var configurationErrors: [(path: String, text: String)] = []
    private(set) var metrics: [Metric] = []
    private(set) var resumed: [UInt64] = []
    private(set) var offloaded: [(work: Work, user: UnsafeMutableRawPointer?)] = []
    private(set) var timers: [Timer] = []

    typealias Work = @convention(c) (UnsafeMutableRawPointer?) -> Void

    struct Metric {
        var kind: UInt32
        var name: String
        var labels: [String] = []
        var value = 0.0
        var observed: [Double] = []
    }

    struct Timer {
        var id: UInt64
        var due: UInt64
        var fire: Work
        var user: UnsafeMutableRawPointer?
    }

    private var nextTimer: UInt64 = 1
    private var stateBlocks: [String: UnsafeMutableRawPointer] = [:]
    private let tables = ServiceTables()
    private let host: UnsafeMutablePointer<sluice_host>
    let models: FakeModels
    let rules = FakeRules()
    let shadows = FakeShadows()
    private var configuration = FakeConfiguration(.null)
    private var modelConfiguration = FakeConfiguration(.null)

    init(models: [FakeModels.Model] = []) {
        self.models = FakeModels(models)
        host = UnsafeMutablePointer<sluice_host>.allocate(capacity: 1)
        host.initialize(to: sluice_host())
        host.pointee = sluice_host(
            struct_size: UInt32(MemoryLayout<sluice_host>.size), abi_version: UInt32(SLUICE_ABI_VERSION),
            context: Unmanaged.passUnretained(self).toOpaque(),
            service: { context, id in
                let host = FakeHost.of(context)
                let name = text(id)
                return host.missingServices.contains(name) ? nil : host.tables.table(name)
            })
    }

    deinit {
        host.deallocate()
        for block in stateBlocks.values { block.deallocate() }
    }

    static func of(_ context: UnsafeMutableRawPointer?) -> FakeHost {
        Unmanaged<FakeHost>.fromOpaque(context.unsafelyUnwrapped).takeUnretainedValue()
    }

    // MARK: Instances

    /// Calls `create` of an extension. The status is returned, the instance when there is one.
    func create(
        _ head: sluice_instance, config: ConfigTree = .null, modelConfig: ConfigTree = .null, worker: UInt32 = 0,
        workerCount: UInt32 = 1, name: String = "plugin", model: String = "", version: String = ""
    ) -> (status: sluice_status, instance: UnsafeMutableRawPointer?) {
        configuration = FakeConfiguration(config)
        modelConfiguration = FakeConfiguration(modelConfig)
        let texts = CTexts()
        var arguments = sluice_create()
        arguments.struct_size = UInt32(MemoryLayout<sluice_create>.size)
        arguments.worker = worker
        arguments.worker_count = workerCount
        arguments.name = texts.bytes(name)
        arguments.model = texts.bytes(model)
        arguments.version = texts.bytes(version)
        arguments.config = configuration.root
        arguments.model_config = modelConfiguration.root
        var instance: UnsafeMutableRawPointer?
        let status = withExtendedLifetime(texts) { head.create(host, &arguments, &instance) }
        return (status, instance)
    }

    // MARK: Time

    /// Moves both clocks and fires the timers that come due, in their order.
    func advance(by nanoseconds: UInt64) {
        let end = monotonic + nanoseconds
        while let next = timers.filter({ $0.due <= end }).min(by: { $0.due < $1.due }) {
            timers.removeAll { $0.id == next.id }
            wall += next.due > monotonic ? next.due - monotonic : 0
            monotonic = max(monotonic, next.due)
            next.fire(next.user)
        }
        wall += end - monotonic
        monotonic = end
    }

    /// Runs the work that was offloaded until now.
    func runOffloaded() {
        let pending = offloaded
        offloaded = []
        for entry in pending { entry.work(entry.user) }
    }

    /// The metric of that name and those label values, in the order declared; without any, all of that name together.
    func metric(_ name: String, _ labels: [String] = []) -> Metric? {
        let found = metrics.filter { $0.name == name && (labels.isEmpty || $0.labels == labels) }
        guard var sum = found.first else { return nil }
        for other in found.dropFirst() {
            sum.value += other.value
            sum.observed += other.observed
        }
        return sum
    }

    // MARK: What the tables call

    func fail(_ message: String) { failure = message }
    func write(_ level: UInt32, _ message: String) { log.append((level, message)) }
    func configurationError(_ path: String, _ message: String) { configurationErrors.append((path, message)) }

    func declare(_ kind: UInt32, _ name: String, _ labels: [String]) -> UInt32 {
        if let index = metrics.firstIndex(where: { $0.name == name && $0.labels == labels }) {
            return metrics[index].kind == kind ? UInt32(index) : UInt32.max
        }
        let allowed = Set("abcdefghijklmnopqrstuvwxyz0123456789_")
        guard metrics.count < 64, !name.isEmpty, name.allSatisfy(allowed.contains) else { return UInt32.max }
        metrics.append(Metric(kind: kind, name: name, labels: labels))
        return UInt32(metrics.count - 1)
    }

    func add(_ metric: UInt32, _ amount: Double) {
        guard metric < metrics.count else { return }
        metrics[Int(metric)].value += amount
    }

    func record(_ metric: UInt32, _ value: Double) {
        guard metric < metrics.count else { return }
        metrics[Int(metric)].value = value
        metrics[Int(metric)].observed.append(value)
    }

    func startTimer(_ delay: UInt64, _ fire: Work?, _ user: UnsafeMutableRawPointer?) -> UInt64 {
        guard let fire, timers.count < 1024 else { return 0 }
        let id = nextTimer
        nextTimer += 1
        timers.append(Timer(id: id, due: monotonic + delay, fire: fire, user: user))
        return id
    }

    func cancelTimer(_ id: UInt64) { timers.removeAll { $0.id == id } }

    func offload(_ work: Work?, _ user: UnsafeMutableRawPointer?) -> sluice_status {
        guard let work, offloaded.count < offloadBound else { return SLUICE_RESOURCE_EXHAUSTED }
        offloaded.append((work, user))
        return SLUICE_OK
    }

    func resume(_ token: UInt64) { resumed.append(token) }

    var stateBlockCount: Int { stateBlocks.count }

    func stateBlock(_ name: String, _ size: Int) -> UnsafeMutableRawPointer? {
        let key = "\(name)/\(size)"
        if let block = stateBlocks[key] { return block }
        guard stateBlocks.count < 256, size <= 1 << 20 else { return nil }
        let block = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 64)
        _ = block.initializeMemory(as: UInt8.self, repeating: 0, count: size)
        stateBlocks[key] = block
        return block
    }
}

/// A copy of a view as text.
func text(_ bytes: sluice_bytes) -> String {
    String(decoding: UnsafeBufferPointer(start: bytes.data, count: bytes.size), as: UTF8.self)
}

/// Texts and arrays in C memory that live as long as this object.
final class CTexts {
    private var blocks: [UnsafeMutableRawPointer] = []

    deinit {
        for block in blocks { block.deallocate() }
    }

    func array<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafePointer<Element>? {
        guard !elements.isEmpty else { return nil }
        return UnsafePointer(mutable(elements))
    }

    func mutable<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
        let block = UnsafeMutablePointer<Element>.allocate(capacity: max(elements.count, 1))
        for (index, element) in elements.enumerated() { (block + index).initialize(to: element) }
        blocks.append(UnsafeMutableRawPointer(block))
        return block
    }

    func bytes(_ text: String) -> sluice_bytes { bytes(Array(text.utf8)) }

    func bytes(_ content: [UInt8]) -> sluice_bytes { sluice_bytes(data: array(content), size: content.count) }
}
