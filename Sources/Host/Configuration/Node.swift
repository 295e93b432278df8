/// A place in a configuration file; line and column count from 1, the column in characters.
public struct Position: Sendable, Hashable {
    public var file: String
    public var line: Int
    public var column: Int
    public init(file: String, line: Int, column: Int) {
        self.file = file
        self.line = line
        self.column = column
    }
}

/// A value of a configuration file with its place.
public indirect enum Node: Sendable {
    /// A scalar as written; `quoted` scalars are never numbers, booleans or null.
    case scalar(String, quoted: Bool, Position)
    case sequence([Node], Position)
    /// Keys in the order of the file, without repeats.
    case mapping([Entry], Position)

    public struct Entry: Sendable {
        public var key: String
        public var keyPosition: Position
        public var value: Node
        public init(key: String, keyPosition: Position, value: Node) {
            self.key = key
            self.keyPosition = keyPosition
            self.value = value
        }
    }

    public var position: Position {
        switch self {
        case .scalar(_, _, let position), .sequence(_, let position), .mapping(_, let position): position
        }
    }
}
