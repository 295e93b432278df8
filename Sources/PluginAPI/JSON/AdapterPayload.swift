import SluiceABI

// What adapters of different protocols do alike with payloads and answers.

extension sluice_payload {
    /// Bytes that the adapter does not look into.
    public init(raw bytes: sluice_bytes, contentType: sluice_bytes) {
        self.init()
        kind = UInt32(SLUICE_PAYLOAD_RAW)
        raw = bytes
        content_type = contentType
    }

    /// The body of a received message as it is, under its content type; nothing where there is none.
    public init(rawBodyOf message: sluice_message) {
        self.init()
        guard !message.wholeBody.isEmpty else { return }
        self = sluice_payload(
            raw: message.wholeBody, contentType: message.field("content-type") ?? sluice_bytes())
    }

    /// Of a request that a backend of another protocol is to be asked: whether its tensors are at hand. False while its
    /// body was not read, which `encode_request` then asks for (SLUICE_NEED_BODY).
    ///
    /// - Parameter complaint: why anything else than tensors cannot be sent to the backend.
    public func hasTensors(orFail complaint: StaticString) throws(CodecFailure) -> Bool {
        switch Int32(bitPattern: kind) {
        case SLUICE_PAYLOAD_TENSORS: return true
        case SLUICE_PAYLOAD_STREAM: return false
        default: throw CodecFailure(complaint, status: SLUICE_UNIMPLEMENTED)
        }
    }
}

extension sluice_payload {
    private static let signatureParameter: StaticString = "signature_name"

    /// The signature of a TensorFlow model that a request asks for; empty: the default one. Adapters of TensorFlow
    /// Serving's two protocols hand it to each other as a parameter.
    public var signatureName: sluice_bytes {
        for index in 0..<Int(parameter_count) {
            if let parameter = parameters?[index], parameter.name.equals(Self.signatureParameter),
                parameter.kind == UInt32(SLUICE_PARAMETER_STRING)
            {
                return parameter.text
            }
        }
        return sluice_bytes()
    }

    /// Makes the signature the one parameter of this payload.
    public mutating func setSignatureName(_ name: sluice_bytes, arena: ExchangeArena) throws(CodecFailure) {
        let parameter = try arena.allocate(sluice_parameter.self, count: 1)
        parameter.initialize(to: sluice_parameter())
        parameter.pointee.name = .literal(Self.signatureParameter)
        parameter.pointee.kind = UInt32(SLUICE_PARAMETER_STRING)
        parameter.pointee.text = name
        parameters = UnsafePointer(parameter)
        parameter_count = 1
    }
}

extension sluice_response {
    /// Takes the names that a backend answered with, but where the host has set those that the client knows.
    public mutating func takeNames(model: sluice_bytes, version: sluice_bytes) {
        if self.model.isEmpty { self.model = model }
        if self.version.isEmpty { self.version = version }
    }
}

extension MessageFields {
    /// Gives the message a payload's bytes as its body, under their content type.
    public static func setBody(
        raw payload: sluice_payload, on message: inout sluice_message, arena: ExchangeArena
    ) throws(CodecFailure) {
        if !payload.content_type.isEmpty {
            try set(
                [sluice_field(name: .literal("content-type"), value: payload.content_type)], on: &message, arena: arena)
        }
        try setBody(payload.raw, on: &message, arena: arena)
    }

    /// Gives the message the body of an answer that nobody looked into, with all that the backend said of it.
    ///
    /// - Parameter complaint: why an answer of tensors cannot be sent to the client.
    public static func setBody(
        passing response: sluice_response, orFail complaint: StaticString, on message: inout sluice_message,
        arena: ExchangeArena
    ) throws(CodecFailure) {
        let payload = response.payload
        let isRaw = payload.kind == UInt32(SLUICE_PAYLOAD_RAW)
        guard isRaw || payload.kind == UInt32(SLUICE_PAYLOAD_NONE) else {
            throw CodecFailure(complaint, status: SLUICE_UNIMPLEMENTED)
        }
        if let received = response.message?.pointee {
            try append(received.fields, received.field_count, to: &message, arena: arena)
        } else if isRaw {
            return try setBody(raw: payload, on: &message, arena: arena)
        }
        try setBody(isRaw ? payload.raw : sluice_bytes(), on: &message, arena: arena)
    }
}
