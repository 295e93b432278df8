import SluiceABI

/// Bounds on what one message may list. Each entry costs memory of the exchange, and names are compared with all that
/// came before.
public enum MessageLimits {
    /// Tensors, and requested outputs. A tabular model with one tensor for each column has some hundreds.
    public static let tensors = 1024
    /// Parameters of a message, a tensor or an output.
    public static let parameters = 128
}

extension ArenaList where Element == sluice_tensor {
    /// Fails where a tensor of the list has this name: nobody could tell which of two is meant.
    public func requireNew(_ name: sluice_bytes) throws(CodecFailure) {
        for index in 0..<count where self[index].name.equals(name) {
            throw CodecFailure("two tensors have the name", subject: name)
        }
    }
}

extension ArenaList where Element == sluice_output {
    /// Adds an output that a request asks for. Fails where it has no name, or the list has one of that name.
    public mutating func appendRequested(_ output: sluice_output) throws(CodecFailure) {
        guard !output.name.isEmpty else { throw CodecFailure("a requested output has no name") }
        for index in 0..<count where self[index].name.equals(output.name) {
            throw CodecFailure("an output is requested twice", subject: output.name)
        }
        try append(output)
    }

    /// The same for a protocol whose tensors are always bytes, and whose requests say no more of an output than `name`.
    public mutating func appendRequested(_ name: sluice_bytes) throws(CodecFailure) {
        var output = sluice_output()
        output.name = name
        output.flags = UInt32(SLUICE_OUTPUT_BINARY)
        try appendRequested(output)
    }
}

extension ArenaList where Element == sluice_parameter {
    /// Adds a parameter, in place of one of the same name: of a map's entries the last one for a key counts
    /// (protobuf.dev, Encoding, "Maps").
    public mutating func set(_ parameter: sluice_parameter) throws(CodecFailure) {
        for index in 0..<count where self[index].name.equals(parameter.name) {
            self[index] = parameter
            return
        }
        try append(parameter)
    }
}
