import HTTP1
import SluiceABI

/// The methods that there are for a path: what those are told who ask with another one; and OPTIONS and TRACE, of which
/// a client may say how many times they are forwarded (RFC 9110 §7.6.2), so that it asks one gateway of a chain what it
/// sees.
extension Worker {
    /// Nil when the request goes on, with one forward less where Max-Forwards limits them; otherwise the answer.
    @inline(never)
    func limitForwards(_ exchange: ExchangePointer) -> ExchangeMachine.Action? {
        guard let fields = exchange.pointee.head?.pointee.fields else { return nil }
        var place = -1
        for index in 0..<fields.count where fields[index].name.equalsIgnoringCase(sluice_bytes("Max-Forwards")) {
            if place >= 0 { return refuseForwards(exchange) }
            place = index
        }
        guard place >= 0 else { return nil }
        guard let left = Self.forwards(fields[place].value) else { return refuseForwards(exchange) }
        guard left > 0 else { return answerAsLast(exchange) }
        guard let memory = allocate(exchange, UInt8.self, 20) else { return failWithoutMemory(exchange) }
        var writer = ByteWriter(memory, capacity: 20)
        writer.write(decimal: left &- 1)
        // The message that plugins see and the head that goes on are in one piece of memory.
        fields.base[place] = sluice_field(name: fields[place].name, value: writer.bytes)
        return nil
    }

    /// One or more digits. More forwards than any chain has are as many as can be counted, as the RFC allows.
    private static func forwards(_ value: sluice_bytes) -> UInt64? {
        guard let data = value.data, value.size > 0 else { return nil }
        let most: UInt64 = 1_000_000_000
        var number: UInt64 = 0
        for index in 0..<value.size {
            let digit = data[index] &- UInt8(ascii: "0")
            guard digit <= 9 else { return nil }
            number = min(number &* 10 &+ UInt64(digit), most)
        }
        return number
    }

    private func refuseForwards(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        fail(exchange, SLUICE_INVALID_ARGUMENT, 400, "the field Max-Forwards is malformed")
    }

    /// The request goes no further: what is there for its path is said to OPTIONS. TRACE would show what came in, which
    /// may be what a client must not see, and is not offered (RFC 9110 §9.3.8).
    private func answerAsLast(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let allow = allowedMethods(exchange)?.field else { return failWithoutMemory(exchange) }
        guard exchange.pointee.head?.pointee.methodKind == .trace else { return answerOptions(exchange, allow) }
        exchange.pointee.status = SLUICE_UNIMPLEMENTED
        return sendDefaultError(
            exchange, 405, sluice_bytes("the gateway does not answer TRACE itself"), 0, allow.pointee)
    }

    private func answerOptions(
        _ exchange: ExchangePointer, _ allow: UnsafeMutablePointer<sluice_field>
    ) -> ExchangeMachine.Action {
        var out = sluice_message()
        out.status = 204
        out.fields = UnsafePointer(allow)
        out.field_count = 1
        return send(exchange, out)
    }

    /// No adapter has taken the request. One that takes its path with another method says so in its own shape; OPTIONS
    /// then is answered here.
    @inline(never)
    func failUnserved(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        if exchange.pointee.isGRPC {
            return fail(exchange, SLUICE_UNIMPLEMENTED, 404, "no adapter serves this method")
        }
        guard let (allow, adapter) = allowedMethods(exchange) else { return failWithoutMemory(exchange) }
        guard let adapter else { return fail(exchange, SLUICE_NOT_FOUND, 404, "no adapter serves this path") }
        if exchange.pointee.head?.pointee.methodKind == .options { return answerOptions(exchange, allow) }
        exchange.pointee.adapter = adapter
        // RFC 9110 §15.5.6: 405 says which there are.
        guard
            edit(exchange, UInt32(SLUICE_SIDE_RESPONSE), allow.pointee.name, allow.pointee.value) == SLUICE_OK
        else { return failWithoutMemory(exchange) }
        return fail(exchange, SLUICE_UNIMPLEMENTED, 405, "no adapter serves this path with this method")
    }

    /// `Allow` (RFC 9110 §10.2.1): the usual methods with which an adapter takes this path, and the first such adapter.
    /// Nil without memory.
    private func allowedMethods(
        _ exchange: ExchangePointer
    ) -> (field: UnsafeMutablePointer<sluice_field>, adapter: UnsafeMutablePointer<AdapterLink>?)? {
        // Room for all of them.
        guard let memory = allocate(exchange, UInt8.self, 64), let field = allocate(exchange, sluice_field.self, 1)
        else { return nil }
        var writer = ByteWriter(memory, capacity: 64)
        writer.write("OPTIONS")
        var first: UnsafeMutablePointer<AdapterLink>?
        for index in 0..<6 {
            let method = Self.usualMethod(index)
            guard let adapter = server(exchange, method, isHead: index == 1) else { continue }
            first = first ?? adapter
            writer.write(", ")
            writer.write(method)
        }
        field.initialize(to: sluice_field(name: sluice_bytes("Allow"), value: writer.bytes))
        return (field, first)
    }

    private static func usualMethod(_ index: Int) -> sluice_bytes {
        switch index {
        case 0: sluice_bytes("GET")
        case 1: sluice_bytes("HEAD")
        case 2: sluice_bytes("POST")
        case 3: sluice_bytes("PUT")
        case 4: sluice_bytes("PATCH")
        default: sluice_bytes("DELETE")
        }
    }

    /// The adapter that would take the request if it had this method. Its route does not tell all: it may decline. What
    /// it is asked leaves nothing behind but what it may have allocated.
    private func server(
        _ exchange: ExchangePointer, _ method: sluice_bytes, isHead: Bool
    ) -> UnsafeMutablePointer<AdapterLink>? {
        guard let message = exchange.pointee.message, let tables = exchange.pointee.generation else { return nil }
        let (own, match) = (message.pointee.method, exchange.pointee.match)
        message.pointee.method = method
        defer {
            message.pointee.method = own
            exchange.pointee.match = match
            exchange.pointee.adapter = nil
            failureSize = 0
        }
        for index in 0..<tables.pointee.adapterCount {
            let adapter = tables.pointee.adapters + index
            guard let route = findRoute(adapter, message, method, isHead: isHead), setMatch(exchange, adapter, route)
            else { continue }
            exchange.pointee.adapter = adapter
            let start = beginCall(exchange)
            let status = adapter.pointee.table.pointee.decode.unsafelyUnwrapped(
                adapter.pointee.instance, exchange.handle, UInt32(SLUICE_STAGE_HEAD), exchange.pointee.match,
                exchange.pointee.request)
            endCall(exchange, adapter.pointee.plugin, start)
            resetRequest(exchange)
            if status != SLUICE_DECLINE { return adapter }
        }
        return nil
    }
}
