import CLinux
import Glibc
import HTTP1
import SluiceABI

/// The begin of an exchange: the head that was parsed becomes a message and a request in its arena.
extension Worker {
    /// A new exchange of a client with the head that was just parsed.
    func begin(_ exchange: ExchangePointer, _ parsed: UnsafeMutablePointer<RequestHead>) {
        enroll(exchange)
        exchange.pointee.methodIsHead = parsed.pointee.methodKind == .head
        exchange.pointee.minorVersion = parsed.pointee.minorVersion
        exchange.pointee.expectsContinue = parsed.pointee.expectContinue
        exchange.pointee.acceptsTrailers = parsed.pointee.acceptsTrailers
        exchange.pointee.toEndpoint.setSource(parsed.pointee.body)
        exchange.pointee.machine.clientPersists = parsed.pointee.keepAlive
        if exchange.pointee.toEndpoint.sourceEnded { _ = exchange.pointee.machine.handle(.requestBodyEnded) }

        exchange.pointee.isGRPC = isCall(exchange, parsed)
        guard describe(exchange, parsed) else {
            perform(exchange, failWithoutMemory(exchange))
            return
        }
        let limits = generation.pointee.limits
        if generation.pointee.ownFieldCount > 0, claimsOwnField(parsed) {
            let reason: StaticString = "the request has a field that only the gateway may set"
            perform(exchange, fail(exchange, SLUICE_INVALID_ARGUMENT, 400, reason))
            return
        }
        // Of as many fields as can be told apart the last one is the gateway's own: a client must not push it out.
        if generation.pointee.ownFieldCount > 0, parsed.pointee.fields.count == FieldSection.countAtMost,
            subjectField(exchange) != nil
        {
            perform(exchange, fail(exchange, SLUICE_INVALID_ARGUMENT, 431, "too many header fields"))
            return
        }
        let method = parsed.pointee.methodKind
        if method == .options || method == .trace, let action = limitForwards(exchange) {
            perform(exchange, action)
            return
        }
        if exchange.pointee.isGRPC, !readDeadline(exchange, parsed) {
            perform(exchange, fail(exchange, SLUICE_INTERNAL, 400, "the field grpc-timeout is malformed"))
            return
        }
        let deadline = min(now &+ limits.defaultTimeoutNs, exchange.pointee.callDeadline)
        exchange.pointee.request.unsafelyUnwrapped.pointee.deadline_ns = deadline
        armTimer(exchange)
        perform(exchange, exchange.pointee.machine.handle(.headReceived))
    }

    /// What every exchange of a client begins with, whatever carries it.
    @inline(__always)
    func enroll(_ exchange: ExchangePointer) {
        begun &+= 1
        exchange.pointee.timesCalls = begun % Self.timedOneIn == 0
        exchange.pointee.worker = Unmanaged.passUnretained(self)
        exchange.pointee.generation = generation
        exchange.pointee.receivedAt = now
        exchange.pointee.progressAt = nowMs
        exchange.pointee.timer.kind = TimerKind.exchange
        exchange.pointee.timer.owner = UnsafeMutableRawPointer(exchange)
        generation.pointee.exchanges &+= 1
        metrics.requestBegan()
    }

    /// Puts head, message and request into the arena. False when memory is out.
    func describe(_ exchange: ExchangePointer, _ parsed: UnsafeMutablePointer<RequestHead>) -> Bool {
        var count = parsed.pointee.fields.count
        let subject = generation.pointee.ownFieldCount > 0 ? subjectField(exchange) : nil
        guard let head = allocate(exchange, RequestHead.self, 1),
            let fields = allocate(exchange, sluice_field.self, count &+ 1),
            let message = allocate(exchange, sluice_message.self, 1),
            let request = allocate(exchange, sluice_request.self, 1)
        else { return false }
        head.initialize(to: parsed.pointee)
        head.pointee.fields.move(to: fields)
        if let subject, count < FieldSection.countAtMost {
            head.pointee.fields.append(subject)
            count &+= 1
        }
        exchange.pointee.head = head
        guard let target = originForm(exchange, head) else { return false }
        var value = sluice_message()
        value.transport = UInt32(exchange.pointee.isGRPC ? SLUICE_TRANSPORT_GRPC : SLUICE_TRANSPORT_HTTP)
        value.method = head.pointee.method
        value.target = target
        value.path = head.pointee.path
        value.query = head.pointee.query
        value.authority = head.pointee.authority
        value.fields = UnsafePointer(fields)
        value.field_count = UInt32(truncatingIfNeeded: count)
        switch head.pointee.body {
        case .length(let size) where size > 0:
            value.body_state = UInt32(SLUICE_BODY_STREAMING)
            value.body_size = size
        case .chunked, .untilClose:
            value.body_state = UInt32(SLUICE_BODY_STREAMING)
            value.body_size = .max
        default: break
        }
        message.initialize(to: value)
        exchange.pointee.message = message
        exchange.pointee.request = request
        resetRequest(exchange)
        return true
    }

    /// The request as it is before an adapter has looked at it.
    func resetRequest(_ exchange: ExchangePointer) {
        let message = exchange.pointee.message.unsafelyUnwrapped
        let limits = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits
        var value = sluice_request()
        value.message = UnsafePointer(message)
        value.model_id = SLUICE_NONE
        value.priority = 5
        value.attempt = 1
        value.received_ns = exchange.pointee.receivedAt
        value.deadline_ns = min(
            exchange.pointee.receivedAt &+ limits.defaultTimeoutNs, exchange.pointee.callDeadline)
        if message.pointee.body_state != UInt32(SLUICE_BODY_NONE) {
            value.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        }
        exchange.pointee.request.unsafelyUnwrapped.initialize(to: value)
    }

    /// Path and query, whatever form the target came in (RFC 9112 §3.2).
    private func originForm(_ exchange: ExchangePointer, _ head: UnsafeMutablePointer<RequestHead>) -> sluice_bytes? {
        let path = head.pointee.path
        let query = head.pointee.query
        if path.data == head.pointee.target.data { return head.pointee.target }
        guard let queryStart = query.data else { return path }
        guard let memory = allocate(exchange, UInt8.self, path.size + 1 + query.size) else { return nil }
        var writer = ByteWriter(memory, capacity: path.size + 1 + query.size)
        writer.write(path)
        writer.write(UInt8(ascii: "?"))
        writer.write(sluice_bytes(queryStart, query.size))
        return writer.bytes
    }
}
