/// A metric that a plugin declared.
struct DeclaredMetric: Sendable {
    struct Key: Hashable, Sendable {
        var plugin: String
        /// Name of its family in the text format: two that were declared by different names are one metric there.
        var family: String
        /// Names and values in turn, sorted by name. As bytes: a `String` equals others that Unicode calls equivalent,
        /// which Prometheus tells apart.
        var labels: [[UInt8]]
    }
    var key: Key
    /// As declared, without what makes it the name of a family.
    var name: String
    var kind: MetricKind
    var family: String { key.family }
    var description: String
}

/// The kinds of `sluice.metrics/1`.
enum MetricKind: UInt32, Sendable {
    case counter = 1
    case gauge = 2
    case histogram = 3
}

/// Where the calls of one plugin instance to `add` and `record` go. [worker]
///
/// An instance of one worker writes that worker's shard. A shared instance is called by all workers at once and writes
/// a shard of its own kind with atomic additions.
struct DeclaredMetricWriter: Sendable {
    let cells: MetricCells
    let shared: Bool

    /// `sluice_metrics.add`: a counter ignores what is negative or no number, since it never falls.
    @inline(__always)
    func add(metric: UInt32, amount: Double) {
        guard let row = row(metric) else { return }
        if metric & 3 == MetricKind.counter.rawValue, !(amount >= 0 && amount < .infinity) { return }
        if metric & 3 == MetricKind.histogram.rawValue { return }
        accumulate(amount, at: row)
    }

    /// `sluice_metrics.record`: sets a gauge, observes a value of a histogram.
    @inline(__always)
    func record(metric: UInt32, value: Double) {
        guard let row = row(metric) else { return }
        if metric & 3 == MetricKind.gauge.rawValue {
            cells.set(value.bitPattern, at: row)
        } else if metric & 3 == MetricKind.histogram.rawValue, value.isFinite {
            let bucket = row + 1 + ValueBuckets.index(of: value)
            if shared {
                cells.base[bucket].wrappingAdd(1, ordering: .relaxed)
            } else {
                cells.add(1, at: bucket)
            }
            accumulate(value, at: row)
        }
    }

    /// Nil for a handle beyond the bound of declared metrics.
    @inline(__always)
    private func row(_ metric: UInt32) -> Int? {
        let index = Int(metric >> 2)
        guard index < MetricLayout.declaredCapacity else { return nil }
        return MetricLayout.declared + index * MetricLayout.declaredCells
    }

    @inline(__always)
    private func accumulate(_ amount: Double, at index: Int) {
        guard shared else {
            cells.set((Double(bitPattern: cells[index]) + amount).bitPattern, at: index)
            return
        }
        var seen = cells[index]
        while true {
            let next = (Double(bitPattern: seen) + amount).bitPattern
            let (exchanged, original) = cells.base[index].weakCompareExchange(
                expected: seen, desired: next, ordering: .relaxed)
            if exchanged { return }
            seen = original
        }
    }
}

extension MetricRegistry {
    /// Where an instance of a worker writes, or a shared one for nil.
    func writer(worker: Int?) -> DeclaredMetricWriter {
        if let worker {
            DeclaredMetricWriter(cells: shards[worker].cells, shared: false)
        } else {
            DeclaredMetricWriter(cells: common, shared: true)
        }
    }

    /// `sluice_metrics.declare`, but for the bound of 64 metrics an instance, which its caller counts. The metric of
    /// the same plugin, name and labels is the same in every instance and generation. [main]
    /// - Returns: a handle for `DeclaredMetricWriter`, to be let go of once for each declaration, or nil when a name is
    ///   not of the form that the ABI states or the family exists as another kind. Beyond 2,048 metrics one that
    ///   ignores what is written: places are never given away again, so names that change by reloads get there, and no
    ///   reload may fail for want of a count.
    func declare(
        plugin: String, kind: MetricKind, name: String, description: String, labels: [(name: String, value: String)]
    ) -> UInt32? {
        guard Self.isMetricName(name), labels.count <= 16 else { return nil }
        let sorted = labels.sorted { $0.name < $1.name }
        for (index, label) in sorted.enumerated() {
            let reserved = label.name == "plugin" || label.name == "le" || label.name.hasPrefix("__")
            guard Self.isLabelName(label.name), !reserved, label.value.utf8.count <= Self.labelBytes else { return nil }
            if index > 0, sorted[index - 1].name == label.name { return nil }
        }
        var family = "sluice_plugin_\(Self.metricName(of: plugin))_\(name)"
        if kind == .counter, !family.hasSuffix("_total") { family += "_total" }
        let key = DeclaredMetric.Key(
            plugin: plugin, family: family, labels: sorted.flatMap { [Array($0.name.utf8), Array($0.value.utf8)] })

        return names.withLock { names in
            if let known = names.declaredIDs[key] {
                guard names.declared[known].kind == kind else { return nil }
                names.holders[known] += 1
                return UInt32(known) << 2 | kind.rawValue
            }
            // A counter's family is not called as it is declared: the families do not show that a name is taken.
            let isTaken = names.declared.contains { $0.key.plugin == plugin && $0.name == name && $0.kind != kind }
            guard !isTaken else { return nil }
            guard names.declared.count < MetricLayout.declaredCapacity else {
                names.refused += 1
                return UInt32(MetricLayout.declaredCapacity) << 2 | kind.rawValue
            }
            let samples = Self.sampleNames(family, kind)
            for other in names.declared where other.family != family || other.kind != kind {
                if !samples.isDisjoint(with: Self.sampleNames(other.family, other.kind)) { return nil }
            }
            let index = names.declared.count
            names.declared.append(
                DeclaredMetric(key: key, name: name, kind: kind, description: description))
            names.holders.append(1)
            names.declaredIDs[key] = index
            return UInt32(index) << 2 | kind.rawValue
        }
    }

    /// Who has declared the metric of this handle is gone. A gauge that nobody else writes tells of nothing any more:
    /// it begins anew with the next. Under the lock, so that none can have declared it meanwhile. [any]
    func letGo(of metric: UInt32) {
        names.withLock { names in
            let index = Int(metric >> 2)
            guard names.holders.indices.contains(index) else { return }
            names.holders[index] -= 1
            guard names.holders[index] == 0, names.declared[index].kind == .gauge else { return }
            let row = MetricLayout.declared + index * MetricLayout.declaredCells
            common.set(0, at: row)
            for shard in shards { shard.cells.set(0, at: row) }
        }
    }

    /// Of one label's value: a model's name has up to 256 characters, of up to 4 bytes.
    static let labelBytes = 1_024

    /// The names that a family's samples carry; no two families may share one.
    private static func sampleNames(_ family: String, _ kind: MetricKind) -> Set<String> {
        kind == .histogram ? [family, family + "_bucket", family + "_sum", family + "_count"] : [family]
    }

    /// `[a-z0-9_]+`, as the ABI states.
    private static func isMetricName(_ name: String) -> Bool {
        !name.isEmpty && name.utf8.count <= 128 && name.utf8.allSatisfy { isLower($0) || isDigit($0) || $0 == 0x5F }
    }

    /// `[a-zA-Z_][a-zA-Z0-9_]*` (Prometheus data model).
    private static func isLabelName(_ name: String) -> Bool {
        guard let first = name.utf8.first, name.utf8.count <= 128, !isDigit(first) else { return false }
        return name.utf8.allSatisfy { isLower($0 | 0x20) || isDigit($0) || $0 == 0x5F }
    }

    /// A plugin's name as a part of a metric's name.
    private static func metricName(of plugin: String) -> String {
        String(
            decoding: plugin.utf8.map { byte in
                let lower = byte >= 0x41 && byte <= 0x5A ? byte | 0x20 : byte
                return isLower(lower) || isDigit(lower) ? lower : 0x5F
            }, as: UTF8.self)
    }

    private static func isLower(_ byte: UInt8) -> Bool { byte >= 0x61 && byte <= 0x7A }
    private static func isDigit(_ byte: UInt8) -> Bool { byte >= 0x30 && byte <= 0x39 }
}
