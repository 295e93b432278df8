import SluicePlugin

/// Rows of numbers in the exchange's arena.
struct Table {
    let rows: Int
    let values: MutableView<Double>

    init(rows: Int, width: Int, _ exchange: Exchange) throws(PluginError) {
        let (count, overflow) = rows.multipliedReportingOverflow(by: width)
        guard rows >= 0, !overflow else { throw PluginError(.invalidArgument, "the input's shape is wrong") }
        self.rows = rows
        values = try exchange.allocate(Double.self, count: count)
    }
}

/// The elements of an input tensor, read as numbers whatever their type.
struct Elements {
    private let tensor: Tensor
    private let count: Int

    init(_ tensor: Tensor, count: Int) throws(PluginError) {
        guard let size = tensor.dataType?.size else {
            throw PluginError(.invalidArgument, "the model takes numbers, no texts")
        }
        let (bytes, overflow) = size.multipliedReportingOverflow(by: count)
        guard !overflow, tensor.data.count == bytes else {
            throw PluginError(.invalidArgument, "an input tensor's size is not that of its shape")
        }
        self.tensor = tensor
        self.count = count
    }

    /// Writes element `i` to place `first + i * step`.
    func copy(to table: Table, from first: Int, step: Int) throws(PluginError) {
        switch tensor.dataType {
        case .fp64: fill(table, first, step) { (value: Double) in value }
        case .fp32: fill(table, first, step) { (value: Float) in Double(value) }
        case .fp16: fill(table, first, step) { (value: UInt16) in Double(Float16(bitPattern: value)) }
        case .bf16: fill(table, first, step) { (value: UInt16) in Double(Float(bitPattern: UInt32(value) << 16)) }
        case .bool, .uint8: fill(table, first, step) { (value: UInt8) in Double(value) }
        case .int8: fill(table, first, step) { (value: Int8) in Double(value) }
        case .uint16: fill(table, first, step) { (value: UInt16) in Double(value) }
        case .int16: fill(table, first, step) { (value: Int16) in Double(value) }
        case .uint32: fill(table, first, step) { (value: UInt32) in Double(value) }
        case .int32: fill(table, first, step) { (value: Int32) in Double(value) }
        case .uint64: fill(table, first, step) { (value: UInt64) in Double(value) }
        case .int64: fill(table, first, step) { (value: Int64) in Double(value) }
        case .bytes, nil: throw PluginError(.invalidArgument, "the model takes numbers, no texts")
        }
    }

    @inline(__always)
    private func fill<Value: BitwiseCopyable>(
        _ table: Table, _ first: Int, _ step: Int, _ convert: (Value) -> Double
    ) {
        for index in 0..<count {
            // The size was checked: no element is missing.
            table.values[first + index * step] = tensor.element(index, as: Value.self).map(convert) ?? 0
        }
    }
}

/// Which outputs a request asks for; none named asks for all.
struct Outputs {
    private(set) var label = false
    private(set) var probabilities = false

    init(_ requested: List<RequestedOutput>, _ exchange: Exchange) throws(PluginError) {
        if requested.isEmpty {
            label = true
            probabilities = true
        }
        for output in requested {
            switch output.name {
            case "label": label = true
            case "probabilities": probabilities = true
            default:
                throw exchange.error(.invalidArgument) { text in
                    text.append("the model has no output of that name '")
                    text.append(output.name.textPrefix(128))
                    text.append("'")
                }
            }
        }
    }
}
