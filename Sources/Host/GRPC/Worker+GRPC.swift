import CLinux
import Glibc
import HTTP1
import SluiceABI

/// gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): what the host knows of it, so that adapters see messages alone.
extension Worker {
    // MARK: Requests

    /// Whether the head that was parsed begins a call.
    func isCall(_ exchange: ExchangePointer, _ head: UnsafeMutablePointer<RequestHead>) -> Bool {
        guard let client = exchange.pointee.client, client.pointee.isStream else { return false }
        let fields = head.pointee.fields
        guard fields.contentType >= 0 else { return false }
        return GRPCStatus.isContentType(fields[Int(fields.contentType)].value)
            && head.pointee.method == sluice_bytes("POST")
    }

    /// The client's own deadline, and whether it says one that can be read.
    func readDeadline(_ exchange: ExchangePointer, _ head: UnsafeMutablePointer<RequestHead>) -> Bool {
        guard let index = timeoutField(head.pointee.fields) else { return true }
        guard let timeout = GRPCTimeout.parse(head.pointee.fields[index].value) else { return false }
        let (deadline, overflow) = now.addingReportingOverflow(timeout)
        exchange.pointee.callDeadline = overflow ? .max : deadline
        return true
    }

    func timeoutField(_ fields: FieldSection) -> Int? {
        let name = sluice_bytes("grpc-timeout")
        for index in 0..<fields.count
        where fields[index].name.size == name.size && fields[index].name.equalsIgnoringCase(name) {
            return index
        }
        return nil
    }

    /// What a client says of its call that is not for the endpoint: its time, some of which has gone, and compressions
    /// that it understands, where a filter is to read the answer, which is not inflated here.
    func leaveCallFields(_ exchange: ExchangePointer, _ fields: FieldSection, to left: inout FieldMask) {
        if let index = timeoutField(fields) { left.insert(index) }
        guard filterNeeds(exchange) & UInt32(SLUICE_FILTER_RESPONSE_BODY) != 0,
            exchange.pointee.request?.pointee.operation != UInt32(SLUICE_OPERATION_OTHER)
        else { return }
        let name = sluice_bytes("grpc-accept-encoding")
        for index in 0..<fields.count where fields[index].name.equalsIgnoringCase(name) { left.insert(index) }
    }

    /// What is left until a deadline, as a field for the endpoint.
    func appendTimeout(_ exchange: ExchangePointer, _ deadline: UInt64, _ writer: inout HeadWriter) {
        guard deadline != .max, let memory = allocate(exchange, UInt8.self, 24) else { return }
        var text = ByteWriter(memory, capacity: 24)
        // At least something: 0 would be a deadline that has passed, which is for us to say.
        GRPCTimeout.write(max(deadline &- min(deadline, now), 1_000_000), to: &text)
        writer.appendField("grpc-timeout", text.bytes)
    }

    // MARK: The first message

    /// Whether all of the body's first message is there.
    func hasFirstMessage(_ exchange: ExchangePointer) -> Bool {
        let gathered = exchange.pointee.gathered
        guard gathered.count > 0, let size = GRPCFrame.firstSize(gathered.head, gathered.count) else { return false }
        return gathered.count >= size
    }

    /// Whether the first message is said to be larger than a body may be: there is no need to wait for it.
    func saysTooMuch(_ exchange: ExchangePointer, _ limit: Int) -> Bool {
        let gathered = exchange.pointee.gathered
        return GRPCFrame.firstSize(gathered.head, gathered.count).map { $0 > limit } ?? false
    }

    /// The adapter may look at the head again. What was gathered stays to be sent, or to be gathered on.
    func firstMessageGathered(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        exchange.pointee.gathersFirst = false
        let gathered = exchange.pointee.gathered
        exchange.pointee.gathered = .none
        guard !gathered.isAbsent, exchange.pointee.ownedBuffers.adopt(gathered) else {
            buffers.give(gathered)
            return fail(exchange, SLUICE_INTERNAL, 400, "the call has no message")
        }
        exchange.pointee.lead = sluice_bytes(gathered.head.asImmutable, gathered.count)
        exchange.pointee.toEndpoint.bodyBytes = UInt64(gathered.count)
        let content: sluice_bytes
        do throws(CodingRefusal) {
            content = try unframe(exchange, exchange.pointee.lead, alone: false)
        } catch {
            return fail(exchange, error.status, error.httpStatus, error.message)
        }
        guard setBody(exchange, exchange.pointee.message.unsafelyUnwrapped, content) else {
            return failWithoutMemory(exchange)
        }
        let action = exchange.pointee.machine.handle(.messageGathered)
        armTimer(exchange)
        return action
    }

    /// Somebody needs the payload after all: the rest of the body joins what is there.
    func gatherBehindLead(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let lead = exchange.pointee.lead
        let limit = exchange.pointee.generation.unsafelyUnwrapped.pointee.limits.bodyBytes
        guard lead.size <= limit else { return bodyTooLarge(exchange) }
        // The first message's length says how much there is of a body of one message: mostly all of it is here.
        exchange.pointee.gathered = buffers.take(max(lead.size, 1))
        guard !exchange.pointee.gathered.isAbsent, let data = lead.data else { return failWithoutMemory(exchange) }
        exchange.pointee.gathered.append(data, lead.size)
        exchange.pointee.lead = .empty
        if exchange.pointee.toEndpoint.sourceEnded { return gatheredIsWhole(exchange) }
        exchange.pointee.progressAt = nowMs
        armTimer(exchange)
        return gatherMore(exchange)
    }

    /// The body of a call, gathered, becomes the message that plugins see: as it is, or what it inflates to.
    func unframe(
        _ exchange: ExchangePointer, _ body: sluice_bytes, alone: Bool
    ) throws(CodingRefusal) -> sluice_bytes {
        guard let message = try? GRPCFrame.message(body, alone: alone) else {
            throw CodingRefusal(
                status: SLUICE_INTERNAL, httpStatus: Self.httpStatus(of: SLUICE_INTERNAL),
                message: "the request's body is not one message of gRPC")
        }
        return message.isCompressed ? try undoCoding(exchange, ofMessage: message.content) : message.content
    }

    /// `pieces` of one message with the prefix in front of them; nil without memory.
    func framed(
        _ exchange: ExchangePointer, _ pieces: UnsafePointer<sluice_bytes>?, _ count: Int
    ) -> (pieces: UnsafePointer<sluice_bytes>, count: Int, size: UInt64)? {
        guard let list = allocate(exchange, sluice_bytes.self, count + 1),
            let prefix = allocate(exchange, UInt8.self, GRPCFrame.prefixSize)
        else { return nil }
        var size = 0
        for index in 0..<count {
            guard let piece = pieces?[index] else { break }
            (list + 1 + index).initialize(to: piece)
            size += piece.size
        }
        GRPCFrame.writePrefix(size, to: prefix)
        list.initialize(to: sluice_bytes(prefix.asImmutable, GRPCFrame.prefixSize))
        return (UnsafePointer(list), count + 1, UInt64(size + GRPCFrame.prefixSize))
    }

    // MARK: Answers

    /// An answer to a call that only says how it ended: its fields are those of trailers ("Trailers-Only").
    func sendStatus(
        _ exchange: ExchangePointer, _ status: sluice_status, _ httpStatus: UInt32, _ message: sluice_bytes
    ) -> ExchangeMachine.Action {
        let room = message.size * 3 + 8
        guard let fields = allocate(exchange, sluice_field.self, 3), let memory = allocate(exchange, UInt8.self, room)
        else { return cutWithoutAnswer(exchange) }
        var code = ByteWriter(memory, capacity: 8)
        code.write(decimal: GRPCStatus.code(of: status))
        var text = ByteWriter(memory + 8, capacity: room - 8)
        GRPCStatus.write(message: message, to: &text)
        fields.initialize(
            to: sluice_field(name: sluice_bytes("content-type"), value: sluice_bytes("application/grpc")))
        (fields + 1).initialize(to: sluice_field(name: sluice_bytes("grpc-status"), value: code.bytes))
        (fields + 2).initialize(to: sluice_field(name: sluice_bytes("grpc-message"), value: text.bytes))
        var out = sluice_message()
        out.status = 200
        out.fields = UnsafePointer(fields)
        out.field_count = message.isEmpty ? 2 : 3
        let action = send(exchange, out)
        // What metrics and observers count is how the call went, not how it was said.
        exchange.pointee.httpStatus = UInt16(clamping: httpStatus)
        if exchange.pointee.toClient.begun { exchange.pointee.sentStatus = exchange.pointee.httpStatus }
        return action
    }

    /// An adapter's answer to a call: one message, and the status that it went well.
    func sendMessage(_ exchange: ExchangePointer, _ message: sluice_message) -> ExchangeMachine.Action {
        guard let framed = framed(exchange, message.body, Int(message.body_count)),
            let fields = allocate(exchange, sluice_field.self, Int(message.field_count) + 1),
            setTrailers(exchange, SLUICE_OK, .empty)
        else { return failWithoutMemory(exchange) }
        fields.initialize(
            to: sluice_field(name: sluice_bytes("content-type"), value: sluice_bytes("application/grpc")))
        var count = 1
        for index in 0..<Int(message.field_count)
        where !message.fields[index].name.equalsIgnoringCase(sluice_bytes("content-type")) {
            (fields + count).initialize(to: message.fields[index])
            count += 1
        }
        var out = message
        out.status = 200
        out.fields = UnsafePointer(fields)
        out.field_count = UInt32(count)
        out.body = framed.pieces
        out.body_count = UInt32(framed.count)
        return send(exchange, out)
    }

    /// The trailers of a call that went well, or that broke off after its answer had begun.
    func setTrailers(_ exchange: ExchangePointer, _ status: sluice_status, _ message: sluice_bytes) -> Bool {
        let shown = sluice_bytes(data: message.data, size: min(message.size, 512))
        var buffer = buffers.take(BufferPool.small)
        guard let base = buffer.base else { return false }
        var writer = ByteWriter(base, capacity: buffer.capacity)
        writer.write("grpc-status: ")
        writer.write(decimal: GRPCStatus.code(of: status))
        if !shown.isEmpty {
            writer.write("\r\ngrpc-message: ")
            GRPCStatus.write(message: shown, to: &writer)
        }
        writer.write("\r\n")
        buffer.end = writer.count
        buffers.give(exchange.pointee.toClient.trailers)
        exchange.pointee.toClient.trailers = buffer
        return true
    }

    /// How an endpoint's call ended, from the trailers or, without a body, from the head.
    func endpointStatus(_ exchange: ExchangePointer) -> (status: sluice_status, message: sluice_bytes)? {
        let trailers = exchange.pointee.toClient.trailers
        if let text = GRPCStatus.value(of: "grpc-status", in: trailers), let status = GRPCStatus.parse(text) {
            return (status, GRPCStatus.value(of: "grpc-message", in: trailers) ?? .empty)
        }
        guard let head = exchange.pointee.responseMessage, let text = field(head.pointee, "grpc-status"),
            let status = GRPCStatus.parse(text)
        else { return nil }
        return (status, field(head.pointee, "grpc-message") ?? .empty)
    }

    private func isAnswerOfGRPC(_ message: sluice_message) -> Bool {
        field(message, "content-type").map { GRPCStatus.isContentType($0) } ?? false
    }

    /// Whether the head of an endpoint's answer is gRPC's, and the status that it ends the call with already
    /// ("Trailers-Only").
    func ownCallStatus(_ fields: FieldSection) -> (isCall: Bool, status: sluice_status?) {
        guard fields.contentType >= 0, GRPCStatus.isContentType(fields[Int(fields.contentType)].value) else {
            return (false, nil)
        }
        let name = sluice_bytes("grpc-status")
        for index in 0..<fields.count where fields[index].name == name {
            return (true, GRPCStatus.parse(fields[index].value))
        }
        return (true, nil)
    }

    /// The exchange is a call of the client's, or one that was made here for an endpoint of gRPC.
    func goesAsCall(_ exchange: ExchangePointer) -> Bool {
        exchange.pointee.isGRPC
            || !exchange.pointee.passes
                && exchange.pointee.outgoing?.pointee.transport == UInt32(SLUICE_TRANSPORT_GRPC)
    }

    private func field(_ message: sluice_message, _ name: StaticString) -> sluice_bytes? {
        for index in 0..<Int(message.field_count)
        where message.fields[index].name.equalsIgnoringCase(sluice_bytes(name)) {
            return message.fields[index].value
        }
        return nil
    }

    /// The gathered answer to a call that the gateway made: its message in place of the body, or an action that says
    /// what is wrong with it.
    func readCallResponse(
        _ exchange: ExchangePointer, _ message: UnsafeMutablePointer<sluice_message>
    ) -> ExchangeMachine.Action? {
        let http = UInt16(clamping: message.pointee.status)
        let ended = endpointStatus(exchange)
        // A `grpc-status` counts before the status of HTTP, in an answer of gRPC.
        if http != 200, ended == nil || !isAnswerOfGRPC(message.pointee) {
            return failHTTPAnswer(exchange, http, message.pointee)
        }
        guard let ended else {
            return fail(exchange, SLUICE_INTERNAL, 502, "the endpoint's answer has no grpc-status")
        }
        guard ended.status == SLUICE_OK else {
            if let action = retryGathered(exchange, ended.status) { return action }
            answersUnlisted(exchange, call: ended.status)
            var text = sluice_bytes("the endpoint refused the call")
            if ended.message.size > 0, let room = allocate(exchange, UInt8.self, ended.message.size) {
                text = GRPCStatus.decode(message: ended.message, into: room)
            }
            let mapped = Self.httpStatus(of: ended.status)
            return fail(exchange, ended.status, mapped, text, retryAfter: retryAfter(mapped, message.pointee))
        }
        let body = message.pointee.body_count > 0 ? message.pointee.body[0] : .empty
        // A call whose answer is read here says of no compression that it is understood.
        guard let answer = try? GRPCFrame.message(body, alone: true), !answer.isCompressed else {
            return fail(exchange, SLUICE_INTERNAL, 502, "the endpoint's answer is not one plain message of gRPC")
        }
        message.pointee.transport = UInt32(SLUICE_TRANSPORT_GRPC)
        return setBody(exchange, message, answer.content) ? nil : failWithoutMemory(exchange)
    }

    /// The endpoint, or a proxy before it, answered a call with plain HTTP.
    /// - Parameter answer: its head, for a client that is not of gRPC.
    func failHTTPAnswer(
        _ exchange: ExchangePointer, _ http: UInt16, _ answer: sluice_message? = nil
    ) -> ExchangeMachine.Action {
        // A status such as 404 or 401 is about the call, and is judged as it is where nobody speaks gRPC.
        if (400..<500).contains(http) {
            finishAttempt(exchange, .success, SLUICE_OK)
        } else {
            finishAttempt(exchange, .badResponse, SLUICE_UNAVAILABLE)
        }
        let room = 64
        guard let memory = allocate(exchange, UInt8.self, room) else { return failWithoutMemory(exchange) }
        var writer = ByteWriter(memory, capacity: room)
        writer.write("the endpoint answered a call with HTTP status ")
        writer.write(decimal: UInt64(http))
        let status = GRPCStatus.status(ofHTTP: http)
        let mapped = Self.httpStatus(of: status)
        return fail(exchange, status, mapped, writer.bytes, retryAfter: retryAfter(mapped, answer))
    }

    /// Notes how a call ended that is passed on by its trailers. A client that got none is told what it has to take
    /// that for; trailers that there are go on as they came.
    func noteTrailers(_ exchange: ExchangePointer) {
        let trailers = exchange.pointee.toClient.trailers
        if let text = GRPCStatus.value(of: "grpc-status", in: trailers), let status = GRPCStatus.parse(text) {
            return noteCallStatus(exchange, status)
        }
        noteMissingStatus(exchange)
        if trailers.count == 0 {
            _ = setTrailers(
                exchange, exchange.pointee.status, sluice_bytes("the endpoint's answer has no grpc-status"))
        }
    }

    /// A call that ends without a status that can be read has failed: UNKNOWN (grpc/doc/statuscodes.md).
    func noteMissingStatus(_ exchange: ExchangePointer) {
        if exchange.pointee.status == SLUICE_OK { noteCallStatus(exchange, SLUICE_UNKNOWN) }
    }

    /// Notes how a call ended that is passed on, for metrics, observers and balancers.
    func noteCallStatus(_ exchange: ExchangePointer, _ status: sluice_status) {
        guard status != SLUICE_OK else { return }
        exchange.pointee.status = status
        exchange.pointee.httpStatus = UInt16(clamping: Self.httpStatus(of: status))
        if exchange.pointee.toClient.begun { exchange.pointee.sentStatus = exchange.pointee.httpStatus }
    }
}
