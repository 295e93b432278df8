import SluiceABI

/// A node of the plugin's configuration tree. Legal in `init` only. Errors are reported at the node's place in the
/// file; what a reader throws says no more than that.
public struct Configuration {
    /// What a node is.
    public enum Kind: UInt32, Sendable {
        case null = 0
        case scalar, sequence, mapping
    }

    let node: OpaquePointer?
    let services: UnsafePointer<HostServices>

    private var table: UnsafePointer<sluice_config> { services.pointee.configuration }
    private var context: UnsafeMutableRawPointer? { services.pointee.context }

    public var kind: Kind { Kind(rawValue: table.pointee.kind.unsafelyUnwrapped(context, node)) ?? .null }
    public var isNull: Bool { kind == .null }
    /// Entries of a sequence or mapping; 0 for others.
    public var count: Int { table.pointee.count.unsafelyUnwrapped(context, node) }

    /// Reports an error at this node and returns what to throw.
    public func error(_ message: String) -> PluginError {
        var text = message
        text.withUTF8 {
            table.pointee.error.unsafelyUnwrapped(context, node, Bytes(UnsafeRawBufferPointer($0)).raw)
        }
        return PluginError(.invalidArgument, "the plugin's configuration is wrong")
    }

    // MARK: The tree

    /// The value under `key` of a mapping; a null node when there is none.
    public subscript(key: String) -> Configuration {
        var key = key
        let found = key.withUTF8 {
            table.pointee.find.unsafelyUnwrapped(context, node, Bytes(UnsafeRawBufferPointer($0)).raw)
        }
        return Configuration(node: found, services: services)
    }

    /// The entries of a sequence in order; throws for anything but a sequence or null.
    public func elements() throws(PluginError) -> [Configuration] {
        switch kind {
        case .null: return []
        case .sequence: return entries.map(\.value)
        case .scalar, .mapping: throw error("expected a sequence")
        }
    }

    /// The entries of a mapping in order; throws for anything but a mapping or null.
    public func members() throws(PluginError) -> [(key: String, value: Configuration)] {
        switch kind {
        case .null: return []
        case .mapping: return entries
        case .scalar, .sequence: throw error("expected a mapping")
        }
    }

    private var entries: [(key: String, value: Configuration)] {
        (0..<count).compactMap { index in
            var key = sluice_bytes()
            guard let child = table.pointee.at.unsafelyUnwrapped(context, node, index, &key) else { return nil }
            return (String(Bytes(key)), Configuration(node: child, services: services))
        }
    }

    /// Throws at the first key of this mapping that is not among `known`: a misspelt key must not be passed over.
    public func allow(_ known: [String]) throws(PluginError) {
        for (key, value) in try members() where !known.contains(key) {
            throw value.error("unknown key '\(key)'; known are \(known.joined(separator: ", "))")
        }
    }

    // MARK: Values

    /// This node as the absolute path of a file: a relative one would mean another file where the gateway is started
    /// from another directory, or changes its own.
    public func absolutePath() throws(PluginError) -> String {
        let path = try text()
        guard path.hasPrefix("/") else { throw error("the path must be absolute") }
        return path
    }

    /// This node as text.
    public func text() throws(PluginError) -> String {
        var value = sluice_bytes()
        try read { table.pointee.text.unsafelyUnwrapped(context, node, &value) }
        return String(Bytes(value))
    }

    /// This node as an integer within `range`.
    public func integer(in range: ClosedRange<Int64> = Int64.min...Int64.max) throws(PluginError) -> Int64 {
        var value: Int64 = 0
        try read { table.pointee.integer.unsafelyUnwrapped(context, node, &value) }
        if !range.contains(value) {
            throw error("\(value) is out of range: expected \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// This node as a number within `range`.
    public func number(
        in range: ClosedRange<Double> = -Double.infinity...Double.infinity
    ) throws(PluginError) -> Double {
        var value = 0.0
        try read { table.pointee.number.unsafelyUnwrapped(context, node, &value) }
        if !range.contains(value) {
            throw error("\(value) is out of range: expected \(range.lowerBound) to \(range.upperBound)")
        }
        return value
    }

    /// This node as true or false.
    public func boolean() throws(PluginError) -> Bool {
        var value = false
        try read { table.pointee.boolean.unsafelyUnwrapped(context, node, &value) }
        return value
    }

    private func read(_ reader: () -> Bool) throws(PluginError) {
        if isNull { throw error("a value is missing") }
        // The host has reported the error at the node's place.
        if !reader() { throw PluginError(.invalidArgument, "the plugin's configuration is wrong") }
    }

    /// The text under `key`, or `fallback` when there is none.
    public func text(_ key: String, default fallback: String) throws(PluginError) -> String {
        let node = self[key]
        return node.isNull ? fallback : try node.text()
    }

    /// The integer under `key`, or `fallback` when there is none.
    public func integer(
        _ key: String, default fallback: Int64, in range: ClosedRange<Int64> = Int64.min...Int64.max
    ) throws(PluginError) -> Int64 {
        let node = self[key]
        return node.isNull ? fallback : try node.integer(in: range)
    }

    /// The number under `key`, or `fallback` when there is none.
    public func number(
        _ key: String, default fallback: Double, in range: ClosedRange<Double> = -Double.infinity...Double.infinity
    ) throws(PluginError) -> Double {
        let node = self[key]
        return node.isNull ? fallback : try node.number(in: range)
    }

    /// The truth value under `key`, or `fallback` when there is none.
    public func boolean(_ key: String, default fallback: Bool) throws(PluginError) -> Bool {
        let node = self[key]
        return node.isNull ? fallback : try node.boolean()
    }

    /// The text under `key`, which must be there.
    public func required(_ key: String) throws(PluginError) -> String {
        let node = self[key]
        if node.isNull { throw error("'\(key)' is missing") }
        return try node.text()
    }
}
