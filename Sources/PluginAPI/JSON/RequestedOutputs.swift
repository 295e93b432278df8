import SluiceABI

/// The outputs that a request names. Its answer has those alone; where it names none, it has all.
extension sluice_payload {
    /// Whether the answer to this request has the output of that name.
    public func asksForOutput(_ name: sluice_bytes) -> Bool {
        guard output_count > 0, let outputs else { return true }
        for index in 0..<Int(output_count) where outputs[index].name.equals(name) { return true }
        return false
    }

    /// Fails where this request names an output that `answer` does not have: an answer that leaves it out says nothing
    /// of it, and a client takes the next tensor for it, or finds none.
    ///
    /// Each name is looked for among all tensors, as each tensor's is among the names where they are selected; the
    /// codecs bound both lists.
    public func requireOutputs(in answer: sluice_payload) throws(CodecFailure) {
        guard let outputs else { return }
        for index in 0..<Int(output_count) where !answer.hasTensor(outputs[index].name) {
            throw CodecFailure("the model has no output of that name", subject: outputs[index].name)
        }
    }

    /// Fails where this request wants an output in shared memory, by a parameter of the output (Triton,
    /// extension_shared_memory.md), for backends whose protocol cannot ask for that: answered in the message, its
    /// client would read what lay in the region before.
    public func requireAnswerInMessage() throws(CodecFailure) {
        guard let outputs else { return }
        for index in 0..<Int(output_count) {
            let output = outputs[index]
            guard let parameters = output.parameters else { continue }
            for position in 0..<Int(output.parameter_count)
            where parameters[position].name.equals("shared_memory_region") {
                throw CodecFailure(
                    "an output in shared memory has no form in the backend's protocol", status: SLUICE_UNIMPLEMENTED,
                    subject: output.name)
            }
        }
    }

    private func hasTensor(_ name: sluice_bytes) -> Bool {
        guard let tensors else { return false }
        for index in 0..<Int(tensor_count) where tensors[index].name.equals(name) { return true }
        return false
    }
}
