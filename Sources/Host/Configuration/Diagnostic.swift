/// What is wrong (or, for a warning, without effect) and what to do, at a place of the file.
public struct Diagnostic: Sendable, CustomStringConvertible {
    public enum Severity: String, Sendable { case error, warning }
    public var severity: Severity
    public var position: Position
    public var message: String
    public init(_ severity: Severity, _ position: Position, _ message: String) {
        self.severity = severity
        self.position = position
        self.message = message
    }
    public var description: String {
        "\(position.file):\(position.line):\(position.column): \(severity.rawValue): \(message)"
    }
}
