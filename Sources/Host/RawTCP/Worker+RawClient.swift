import Glibc
import HTTP1
import SluiceABI

/// Clients over raw TCP. The adapter that their listener names cuts what they send into messages; from there on a
/// message is an exchange like any other, whose whole content is its body.
extension Worker {
    // MARK: Messages

    /// True when an exchange began; false when more bytes are needed or the connection is done with.
    func readMessage(_ client: UnsafeMutablePointer<ClientConnection>) -> Bool {
        // A reload may have taken the adapter away: nobody reads on what still comes.
        guard let adapter = adapterOfMessages(client.pointee.adapterName) else {
            close(client)
            return false
        }
        while true {
            if client.pointee.input.count > 0 {
                switch frame(adapter, client.pointee.input, generation.pointee.limits) {
                case .size(let size):
                    if let exchange = beginMessage(client, adapter, size: size) {
                        perform(exchange, exchange.pointee.machine.handle(.headReceived))
                    }
                    return true
                case .tooLarge:
                    metrics.rejected(.bodyTooLarge)
                    refuse(
                        client, SLUICE_OUT_OF_RANGE, 413, sluice_bytes("the message is larger than allowed"),
                        showing: client.pointee.input)
                    return true
                case .malformed:
                    metrics.parseFailed(.client, .framing)
                    let reason = sluice_bytes(failure, failureSize)
                    refuse(
                        client, SLUICE_INVALID_ARGUMENT, 400,
                        reason.isEmpty ? sluice_bytes("the bytes are no message of this protocol") : reason)
                    return true
                case .needMore: break
                }
            }
            guard readOn(client) else { return false }
        }
    }

    /// In the generation that serves what begins now.
    private func adapterOfMessages(_ name: sluice_bytes) -> UnsafeMutablePointer<AdapterLink>? {
        for index in 0..<generation.pointee.adapterLinkCount {
            let link = generation.pointee.adapters + index
            if link.pointee.name == name { return link.pointee.rawRoute == nil ? nil : link }
        }
        return nil
    }

    /// An exchange for a message of `size` bytes, of which some have come. Nil when the connection had to be closed.
    private func beginMessage(
        _ client: UnsafeMutablePointer<ClientConnection>, _ adapter: UnsafeMutablePointer<AdapterLink>, size: Int
    ) -> ExchangePointer? {
        guard let exchange = exchanges.take() else {
            metrics.rejected(.memory)
            close(client)
            return nil
        }
        client.pointee.exchange = exchange
        client.pointee.floor = client.pointee.input.start
        exchange.pointee.client = client
        enroll(exchange)
        exchange.pointee.adapter = adapter
        exchange.pointee.toEndpoint.setSource(size > 0 ? .length(UInt64(size)) : .none)
        exchange.pointee.machine.clientPersists = true
        if size == 0 { _ = exchange.pointee.machine.handle(.requestBodyEnded) }
        guard describeMessage(exchange, adapter, size) else {
            perform(exchange, failWithoutMemory(exchange))
            return nil
        }
        armTimer(exchange)
        return exchange
    }

    private func describeMessage(
        _ exchange: ExchangePointer, _ adapter: UnsafeMutablePointer<AdapterLink>, _ size: Int
    ) -> Bool {
        guard let message = allocate(exchange, sluice_message.self, 1),
            let request = allocate(exchange, sluice_request.self, 1), let route = adapter.pointee.rawRoute,
            setMatch(exchange, adapter, Int(route))
        else { return false }
        var value = sluice_message()
        value.transport = UInt32(SLUICE_TRANSPORT_TCP)
        value.body_state = UInt32(size > 0 ? SLUICE_BODY_STREAMING : SLUICE_BODY_NONE)
        value.body_size = UInt64(size)
        message.initialize(to: value)
        exchange.pointee.message = message
        exchange.pointee.request = request
        resetRequest(exchange)
        return true
    }

    /// The adapter's first look, at the whole message.
    func decodeMessage(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let message = exchange.pointee.message.unsafelyUnwrapped
        guard message.pointee.body_state == UInt32(SLUICE_BODY_WHOLE) else {
            return exchange.pointee.machine.handle(.messageNeeded)
        }
        let adapter = exchange.pointee.adapter.unsafelyUnwrapped
        let start = beginCall(exchange)
        let status = adapter.pointee.table.pointee.decode.unsafelyUnwrapped(
            adapter.pointee.instance, exchange.handle, UInt32(SLUICE_STAGE_HEAD), exchange.pointee.match,
            exchange.pointee.request)
        endCall(exchange, adapter.pointee.plugin, start)
        readClock()
        switch status {
        case SLUICE_OK: resolveModel(exchange)
        case SLUICE_NEED_BODY: break
        case SLUICE_DECLINE:
            return fail(exchange, SLUICE_INVALID_ARGUMENT, 400, "the listener's adapter does not take this message")
        default: return failPlugin(exchange, status, adapter.pointee.plugin)
        }
        let filters = exchange.pointee.generation.unsafelyUnwrapped.pointee.filters.needs
        let needed = status == SLUICE_NEED_BODY || filters & UInt32(SLUICE_FILTER_REQUEST_BODY) != 0
        return exchange.pointee.machine.handle(.decodedHead(payloadNeeded: needed))
    }

    // MARK: Answers

    /// Says in the adapter's protocol why what came is not answered, and closes behind it.
    ///
    /// - Parameter beginning: what has come of a message, for the adapter to find what an answer repeats of it. Bytes
    ///   that are no message of the protocol are not shown.
    func refuse(
        _ client: UnsafeMutablePointer<ClientConnection>, _ status: sluice_status, _ httpStatus: UInt32,
        _ reason: sluice_bytes, showing beginning: Buffer = .none
    ) {
        guard let adapter = adapterOfMessages(client.pointee.adapterName) else { return close(client) }
        guard let exchange = beginMessage(client, adapter, size: 0) else { return }
        exchange.pointee.machine.clientPersists = false
        // The reason may lie where the next call's would be written.
        guard show(exchange, beginning), let text = copy(exchange, reason) else {
            return perform(exchange, failWithoutMemory(exchange))
        }
        perform(exchange, fail(exchange, status, httpStatus, text))
    }

    /// What an answer repeats stands in a message's first `header_bytes`, as its size does.
    private func show(_ exchange: ExchangePointer, _ beginning: Buffer) -> Bool {
        guard beginning.count > 0, let message = exchange.pointee.message else { return true }
        let count = min(beginning.count, generation.pointee.limits.headerBytes)
        guard let piece = allocate(exchange, sluice_bytes.self, 1),
            let kept = copy(exchange, sluice_bytes(beginning.head.asImmutable, count))
        else { return false }
        piece.initialize(to: kept)
        message.pointee.body = UnsafePointer(piece)
        message.pointee.body_count = 1
        return true
    }

    /// A message made here: its body, as it is.
    func sendRaw(_ exchange: ExchangePointer, _ out: sluice_message) -> ExchangeMachine.Action {
        _ = exchange.pointee.machine.handle(.answering)
        exchange.pointee.progressAt = nowMs
        beginAnswer(exchange, exchange.pointee.httpStatus)
        exchange.pointee.toClient.source = .none
        exchange.pointee.toClient.sourceEnded = true
        exchange.pointee.toClient.pieces = out.body
        exchange.pointee.toClient.pieceCount = Int(out.body_count)
        return pumpFirst(exchange)
    }
}
