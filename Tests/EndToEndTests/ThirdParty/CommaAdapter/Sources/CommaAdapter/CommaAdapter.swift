import SluiceABI
import SluicePlugin

/// `POST /comma/{model}` with lines of numbers between commas; the answer has a line for each, the likeliest class.
struct CommaAdapter: ProtocolAdapter {
    static let plugin = PluginDescription(
        name: "comma", version: "1.0.0", vendor: "Acme", licence: "MIT", build: "@BUILD@")

    init(_ context: Context) throws(PluginError) { try context.config.allow([]) }

    var routes: [Route] { [Route("POST", "/comma/{model}")] }

    func decode(
        _ request: MutableRequest, stage: DecodeStage, match: RouteMatch, exchange: Exchange
    ) throws(PluginError) -> DecodeVerdict {
        request.model = match.capture(0)
        request.operation = .infer
        guard stage == .body else {
            request.payload.kind = .stream
            return .decoded
        }
        let body = request.message.body
        var (rows, columns) = (0, 0)
        forEachLine(of: body) { line in
            rows += 1
            columns = line.count(where: { $0 == UInt8(ascii: ",") }) + 1
        }
        let tensor = try request.payload.addTensor(in: exchange)
        tensor.name = Bytes("input")
        tensor.dataType = .fp64
        try tensor.addDimension(Int64(rows), in: exchange)
        try tensor.addDimension(Int64(columns), in: exchange)
        let values = try tensor.allocateElements(of: Double.self, in: exchange)
        var (index, well) = (0, true)
        forEachLine(of: body) { line in
            var rest = line
            while well {
                let end = rest.firstIndex(of: UInt8(ascii: ",")) ?? rest.count
                guard index < values.count, let number = decimal(rest.prefix(end)) else {
                    well = false
                    return
                }
                values[index] = number
                index += 1
                if end == rest.count { return }
                rest = rest.dropFirst(end + 1)
            }
        }
        guard well, index == values.count else {
            throw PluginError(.invalidArgument, "expected lines of as many numbers each, with commas between")
        }
        return .decoded
    }

    func encode(
        _ response: Response, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) {
        var text = exchange.writer()
        for tensor in response.payload.tensors where tensor.dataType == .int64 {
            for index in 0..<(tensor.shape.elementCount ?? 0) {
                text.append(decimal: tensor.element(index, as: Int64.self) ?? -1)
                text.append("\n")
            }
        }
        message.status = 200
        try message.add("Content-Type", "text/plain", in: exchange)
        try message.add("X-Comma-Build", "@BUILD@", in: exchange)
        try message.addBody(try text.finish(), in: exchange)
    }

    func encodeError(
        _ error: ErrorAnswer, to request: Request, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) {
        message.status = error.httpStatus
        try message.add("Content-Type", "text/plain", in: exchange)
        try message.addBody(Bytes("error: "), in: exchange)
        try message.addBody(error.message, in: exchange)
    }

    func encodeRequest(
        _ request: Request, for target: Target, into message: MutableMessage, exchange: Exchange
    ) throws(PluginError) -> EncodeVerdict {
        throw PluginError(.unimplemented, "no server speaks this protocol")
    }

    func decodeResponse(
        _ message: Message, to request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) {
        throw PluginError(.unimplemented, "no server speaks this protocol")
    }
}

private func forEachLine(of body: Bytes, _ visit: (Bytes) -> Void) {
    var rest = body
    while !rest.isEmpty {
        let end = rest.firstIndex(of: UInt8(ascii: "\n")) ?? rest.count
        if end > 0 { visit(rest.prefix(end)) }
        rest = rest.dropFirst(end + 1)
    }
}

/// A number of at most 15 digits with an optional point.
private func decimal(_ text: Bytes) -> Double? {
    var (value, scale, digits, pointSeen) = (0.0, 1.0, 0, false)
    for byte in text.trimmed {
        if byte == UInt8(ascii: "."), !pointSeen {
            pointSeen = true
        } else if byte &- 0x30 < 10, digits < 15 {
            value = value * 10 + Double(byte &- 0x30)
            if pointSeen { scale *= 10 }
            digits += 1
        } else {
            return nil
        }
    }
    return digits > 0 ? value / scale : nil
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, CommaAdapter.self) }
