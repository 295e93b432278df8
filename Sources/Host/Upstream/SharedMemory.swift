import SluiceABI

extension sluice_payload {
    /// Whether a tensor lies in shared memory, or an output is to be written there: that one says so by a parameter
    /// (Triton, extension_shared_memory.md).
    var usesSharedMemory: Bool {
        for index in 0..<Int(tensor_count) where !tensors[index].region.isEmpty { return true }
        return wantsSharedMemory
    }

    /// Whether an output is to be written to shared memory.
    var wantsSharedMemory: Bool {
        for index in 0..<Int(output_count) {
            let output = outputs[index]
            for position in 0..<Int(output.parameter_count)
            where output.parameters[position].name == sluice_bytes("shared_memory_region") {
                return true
            }
        }
        return false
    }
}
