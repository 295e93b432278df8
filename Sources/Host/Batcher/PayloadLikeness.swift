import SluiceABI

/// Whether two payloads may stand in one batch: alike in all but the first dimension, and the values. Pure.
enum PayloadLikeness {
    static func areAlike(_ one: sluice_payload, _ other: sluice_payload) -> Bool {
        guard one.kind == other.kind, one.flags == other.flags, one.tensor_count == other.tensor_count,
            one.output_count == other.output_count
        else { return false }
        for index in 0..<Int(one.tensor_count) where !areAlike(one.tensors[index], other.tensors[index]) {
            return false
        }
        for index in 0..<Int(one.output_count) where !areAlike(one.outputs[index], other.outputs[index]) {
            return false
        }
        return areAlike(one.parameters, one.parameter_count, other.parameters, other.parameter_count)
    }

    private static func areAlike(_ one: sluice_tensor, _ other: sluice_tensor) -> Bool {
        guard one.name == other.name, one.datatype == other.datatype, one.rank == other.rank else { return false }
        for axis in 1..<max(Int(one.rank), 1) where one.shape[axis] != other.shape[axis] { return false }
        return areAlike(one.parameters, one.parameter_count, other.parameters, other.parameter_count)
    }

    private static func areAlike(_ one: sluice_output, _ other: sluice_output) -> Bool {
        one.name == other.name && one.flags == other.flags
            && areAlike(one.parameters, one.parameter_count, other.parameters, other.parameter_count)
    }

    private static func areAlike(
        _ one: UnsafePointer<sluice_parameter>?, _ count: UInt32, _ other: UnsafePointer<sluice_parameter>?,
        _ otherCount: UInt32
    ) -> Bool {
        guard count == otherCount else { return false }
        guard count > 0 else { return true }
        guard let one, let other else { return false }
        for index in 0..<Int(count) {
            guard one[index].name == other[index].name, one[index].kind == other[index].kind,
                one[index].text == other[index].text, one[index].integer == other[index].integer,
                one[index].number.bitPattern == other[index].number.bitPattern
            else { return false }
        }
        return true
    }
}
