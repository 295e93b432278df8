import SluiceABI

/// A configuration tree as a literal: `["keys": [["key": "s3cret", "tenant": "acme"]], "strip": true]`.
indirect enum ConfigTree: ExpressibleByStringLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral, ExpressibleByNilLiteral
{
    case null
    case scalar(String)
    case sequence([ConfigTree])
    case mapping([(String, ConfigTree)])

    init(stringLiteral value: String) { self = .scalar(value) }
    init(integerLiteral value: Int) { self = .scalar(String(value)) }
    init(floatLiteral value: Double) { self = .scalar(String(value)) }
    init(booleanLiteral value: Bool) { self = .scalar(String(value)) }
    init(arrayLiteral elements: ConfigTree...) { self = .sequence(elements) }
    init(dictionaryLiteral elements: (String, ConfigTree)...) { self = .mapping(elements) }
    init(nilLiteral: ()) { self = .null }
}

/// The nodes of a tree, as the configuration service hands them out.
final class FakeConfiguration {
    final class Node {
        let key: String
        /// Keys and indices from the root: stands for a place in the file.
        let path: String
        let kind: UInt32
        let text: String
        let children: [Node]
        let keyBytes: sluice_bytes
        let textBytes: sluice_bytes
        private let texts = CTexts()

        init(_ tree: ConfigTree, key: String, path: String) {
            self.key = key
            self.path = path
            keyBytes = texts.bytes(key)
            switch tree {
            case .null: (kind, text, children) = (UInt32(SLUICE_CONFIG_NULL), "", [])
            case .scalar(let value): (kind, text, children) = (UInt32(SLUICE_CONFIG_SCALAR), value, [])
            case .sequence(let elements):
                kind = UInt32(SLUICE_CONFIG_SEQUENCE)
                text = ""
                children = elements.enumerated().map {
                    Node($0.element, key: "", path: "\(path)[\($0.offset)]")
                }
            case .mapping(let members):
                kind = UInt32(SLUICE_CONFIG_MAPPING)
                text = ""
                children = members.map { Node($0.1, key: $0.0, path: path.isEmpty ? $0.0 : "\(path).\($0.0)") }
            }
            textBytes = texts.bytes(text)
        }

        var opaque: OpaquePointer { OpaquePointer(Unmanaged.passUnretained(self).toOpaque()) }

        func mismatch(_ context: UnsafeMutableRawPointer?, _ expected: String) -> Bool {
            FakeHost.of(context).configurationError(path, "expected \(expected)")
            return false
        }
    }

    private let tree: Node?
    var root: OpaquePointer? { tree?.opaque }

    init(_ tree: ConfigTree) {
        if case .null = tree { self.tree = nil } else { self.tree = Node(tree, key: "", path: "") }
    }

    static func node(_ pointer: OpaquePointer?) -> Node? {
        pointer.map { Unmanaged<Node>.fromOpaque(UnsafeRawPointer($0)).takeUnretainedValue() }
    }

    static func scalar(_ context: UnsafeMutableRawPointer?, _ pointer: OpaquePointer?, _ expected: String) -> Node? {
        guard let found = node(pointer) else { return nil }
        if found.kind == UInt32(SLUICE_CONFIG_SCALAR) { return found }
        _ = found.mismatch(context, expected)
        return nil
    }
}
