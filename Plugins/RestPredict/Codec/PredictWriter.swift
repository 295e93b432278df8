import SluiceABI
import SluiceJSON

/// Writes tensors as requests and answers.
struct PredictWriter {
    private let arena: ExchangeArena
    private let isRequest: Bool
    /// Lists that a message has for tensors without elements, all of them together. A shape alone says how many there
    /// are, so that some bytes of a client could make the gateway write all that an exchange may hold. Rows with an
    /// input that happens to be empty are hundreds.
    private static let maximumEmptyLists = 65_536
    /// Bytes of names that rows have, which repeat them in each one: so many in any message, and else so many times
    /// those of the tensors. A table of a million cells with names of 16 bytes has the former; the latter lets larger
    /// ones of single bytes have names of 32, and no client can make a message of any size out of a long name and rows.
    private static let maximumNames = 1 << 24
    private static let maximumNamesPerByte = 32
    /// In place of a number that a client has sent, `null` would be another one, or none.
    private var notFinite: StaticString? {
        guard isRequest else { return nil }
        return "JSON has no NaN and no infinities: a backend that is asked over gRPC can be sent them, in tensor"
    }

    init(isRequest: Bool, arena: ExchangeArena) {
        self.arena = arena
        self.isRequest = isRequest
    }

    /// - Parameters:
    ///   - asksColumns: the column format; else rows, which all tensors must have alike.
    ///   - namesSingle: names a tensor also when it is the only one.
    func write(
        _ payload: sluice_payload, asksColumns: Bool, namesSingle: Bool, into message: inout sluice_message
    ) throws(CodecFailure) {
        let tensors = UnsafeBufferPointer(start: payload.tensors, count: Int(payload.tensor_count))
        try Self.checkEmptyLists(tensors)
        var json = JSONWriter(arena: arena)
        try json.raw("{")
        let signature = payload.signatureName
        if isRequest, !signature.isEmpty {
            try json.raw("\"signature_name\":")
            try json.string(signature)
            try json.raw(",")
        }
        if asksColumns {
            try json.raw(isRequest ? "\"inputs\":" : "\"outputs\":")
            if tensors.count == 1, !namesSingle {
                try writeValue(tensors[0], &json)
            } else {
                try writeColumns(tensors, &json)
            }
        } else {
            try json.raw(isRequest ? "\"instances\":" : "\"predictions\":")
            guard Self.haveRows(tensors) else {
                throw CodecFailure(
                    "the tensors do not have the same number of rows: ask in the column format",
                    status: SLUICE_FAILED_PRECONDITION)
            }
            guard !Self.namesOutgrowRows(tensors) else {
                throw CodecFailure(
                    "rows would be names for the most part: ask in the column format",
                    status: SLUICE_FAILED_PRECONDITION)
            }
            if tensors.count == 1, !namesSingle {
                try writeValue(tensors[0], &json)
            } else {
                try writeRows(tensors, &json)
            }
        }
        try json.raw("}")
        MessageFields.setJSON(on: &message)
        try MessageFields.setBody(&json, on: &message)
    }

    private static func checkEmptyLists(_ tensors: UnsafeBufferPointer<sluice_tensor>) throws(CodecFailure) {
        var left = maximumEmptyLists
        for tensor in tensors {
            let lists = TensorShape.emptyLists(tensor.shapeBuffer)
            guard lists <= left else {
                throw CodecFailure(
                    "a tensor without elements has more rows than lists are written for, tensor", subject: tensor.name)
            }
            left -= lists
        }
    }

    /// Whether there are tensors, and all have the same first dimension.
    static func haveRows(_ tensors: UnsafeBufferPointer<sluice_tensor>) -> Bool {
        guard let rows = tensors.first?.shapeBuffer.first else { return false }
        return tensors.allSatisfy { $0.shapeBuffer.first == rows }
    }

    /// Whether rows of these tensors, which have them, would repeat more bytes of names than they may.
    static func namesOutgrowRows(_ tensors: UnsafeBufferPointer<sluice_tensor>) -> Bool {
        // A single tensor is not named.
        guard tensors.count > 1, let rows = tensors.first?.shapeBuffer.first else { return false }
        var names = 0
        var data = 0
        for tensor in tensors {
            names += writtenSize(tensor.name)
            data += tensor.data.size
        }
        let (repeated, overflow) = names.multipliedReportingOverflow(by: Int(max(rows, 0)))
        return overflow || repeated > maximumNames && repeated / maximumNamesPerByte > data
    }

    /// What a name takes at most: six bytes for a control character (RFC 8259 §7), two for what is escaped otherwise.
    private static func writtenSize(_ name: sluice_bytes) -> Int {
        name.buffer.reduce(name.size) { sum, byte in
            sum + (byte < 0x20 ? 5 : byte == UInt8(ascii: "\"") || byte == UInt8(ascii: "\\") ? 1 : 0)
        }
    }

    private func writeValue(_ tensor: sluice_tensor, _ json: inout JSONWriter) throws(CodecFailure) {
        var elements = try TensorWriter(tensor, binaryText: .base64, refusing: notFinite)
        try elements.writeNested(&json)
    }

    private func writeColumns(
        _ tensors: UnsafeBufferPointer<sluice_tensor>, _ json: inout JSONWriter
    ) throws(CodecFailure) {
        try json.raw("{")
        for index in tensors.indices {
            if index > 0 {
                try json.raw(",")
            }
            try json.string(tensors[index].name)
            try json.raw(":")
            try writeValue(tensors[index], &json)
        }
        try json.raw("}")
    }

    private func writeRows(
        _ tensors: UnsafeBufferPointer<sluice_tensor>, _ json: inout JSONWriter
    ) throws(CodecFailure) {
        let writers = try arena.allocate(TensorWriter.self, count: tensors.count)
        for index in tensors.indices {
            (writers + index).initialize(
                to: try TensorWriter(tensors[index], binaryText: .base64, refusing: notFinite))
        }
        let rows = tensors.first?.shapeBuffer.first ?? 0
        try json.raw("[")
        for row in 0..<max(rows, 0) {
            try json.raw(row > 0 ? ",{" : "{")
            for index in tensors.indices {
                if index > 0 {
                    try json.raw(",")
                }
                try json.string(tensors[index].name)
                try json.raw(":")
                try writers[index].writeNextRow(&json)
            }
            try json.raw("}")
        }
        try json.raw("]")
    }
}
