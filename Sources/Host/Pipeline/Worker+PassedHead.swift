import HTTP1
import SluiceABI

/// The head of an endpoint's answer that passes, as the filters that were shown it have left it.
extension Worker {
    /// What filters were shown of the endpoint's head; nil: none has asked for it. What a filter left in the answer of
    /// its `on_request` without answering is not meant.
    @inline(__always)
    func shownResponse(_ exchange: ExchangePointer) -> UnsafeMutablePointer<sluice_response>? {
        guard let message = exchange.pointee.responseMessage, let response = exchange.pointee.response,
            response.pointee.message == UnsafePointer(message)
        else { return nil }
        return response
    }

    /// Gives the head in `responseScratch` the status that filters want, and its framing. The endpoint is judged by its
    /// own. An action when the head is not to go on.
    func changeStatus(
        _ exchange: ExchangePointer, _ shown: UnsafeMutablePointer<sluice_response>
    ) -> ExchangeMachine.Action? {
        let head = responseScratch
        let wanted = shown.pointee.http_status
        guard wanted != UInt32(head.pointee.status), wanted != 0 else { return nil }
        // How a call went is said by its `grpc-status`; clients take another status than 200 for the end of it.
        if exchange.pointee.isGRPC { return nil }
        guard wanted >= 200, wanted <= 599 else { return refuseStatus(exchange, wanted) }
        let status = UInt16(wanted)
        let lacksContent = status == 204 || status == 205 || status == 304
        if lacksContent, !exchange.pointee.toClient.sourceEnded { return answerWithoutContent(exchange, shown) }
        head.pointee.change(to: status, toHead: exchange.pointee.askedHead)
        return nil
    }

    /// Content comes from the endpoint, and the status that filters have given the answer has none.
    private func answerWithoutContent(
        _ exchange: ExchangePointer, _ shown: UnsafeMutablePointer<sluice_response>
    ) -> ExchangeMachine.Action {
        guard let message = exchange.pointee.responseMessage, let upstream = exchange.pointee.upstream else {
            return .cut
        }
        let received = Int(message.pointee.field_count)
        let own = Int(shown.pointee.field_count)
        guard let fields = allocate(exchange, sluice_field.self, received + own) else {
            return cutWithoutAnswer(exchange)
        }
        for index in 0..<received { (fields + index).initialize(to: message.pointee.fields[index]) }
        for index in 0..<own { (fields + received + index).initialize(to: shown.pointee.fields[index]) }
        let flow = exchange.pointee.toClient
        if flow.source == .length, !upstream.pointee.isStream, UInt64(upstream.pointee.input.count) >= flow.remaining {
            // All of it has come: the connection can be kept.
            upstream.pointee.input.start &+= Int(flow.remaining)
            endUpstream(exchange)
        } else {
            finishAttempt(exchange, exchange.pointee.httpStatus >= 500 ? .serverError : .success, SLUICE_OK)
            detachUpstream(exchange)
        }
        var out = sluice_message()
        out.status = shown.pointee.http_status
        out.fields = UnsafePointer(fields)
        out.field_count = UInt32(received + own)
        return send(exchange, out)
    }

    // MARK: Begun answers

    /// The head of an answer with that status is on its way to the client.
    @inline(__always)
    func beginAnswer(_ exchange: ExchangePointer, _ status: UInt16) {
        exchange.pointee.toClient.begun = true
        exchange.pointee.sentStatus = status
    }

    /// The same for the endpoint's, whose head is in `responseScratch`.
    @inline(__always)
    func beginPassedAnswer(_ exchange: ExchangePointer) {
        beginAnswer(exchange, exchange.pointee.isGRPC ? exchange.pointee.httpStatus : responseScratch.pointee.status)
    }
}
