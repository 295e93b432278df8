import HTTP1
import SluiceABI

/// Requests that an endpoint of HTTP/2 refused unread (RFC 9113 §8.7): what was taken of their body goes once more.
extension Worker {
    /// The endpoint has not looked at the request: what was sent of its body, and what stood behind that, becomes what
    /// is sent first again. False when that is not at hand any more.
    func recoverRefused(_ exchange: ExchangePointer, _ call: UnsafeMutablePointer<HTTP2Call>) -> Bool {
        // A body that was gathered or made here begins anew from its pieces. So does one whose beginning is kept in
        // pieces, by an earlier refusal or as the first message of a call, when no more than these was sent; and one
        // that still lies in the client's input as a whole.
        let isGathered =
            exchange.pointee.message?.pointee.body_state == UInt32(SLUICE_BODY_WHOLE) && exchange.pointee.lead.isEmpty
        if isGathered || !exchange.pointee.passes || exchange.pointee.toEndpoint.hasPieces
            || exchange.pointee.machine.repeatable
        {
            return true
        }
        guard !call.pointee.hasForgotten else { return false }
        let sent = call.pointee.output
        // Bytes that were taken out of their chunks and found no room in the call. Before a request is submitted they
        // are its head, which is written anew.
        let rest = call.pointee.id > 0 ? exchange.pointee.toEndpoint.staged : .none
        guard sent.end > 0 || rest.count > 0 else { return true }
        // A first message is one piece; behind it nothing is staged.
        guard exchange.pointee.lead.isEmpty || rest.count == 0, let list = allocate(exchange, sluice_bytes.self, 2)
        else { return false }
        call.pointee.output = .none
        if rest.count > 0 { exchange.pointee.toEndpoint.staged = .none }
        // What an earlier refusal left is in what was sent now.
        releaseRecovered(exchange)
        exchange.pointee.recovered = (sent, rest.count > 0 ? rest : .none)
        var count = 0
        if sent.end > 0, let base = sent.base {
            list.initialize(to: sluice_bytes(base.asImmutable, sent.end))
            count = 1
        }
        if rest.count > 0 {
            (list + count).initialize(to: sluice_bytes(rest.head.asImmutable, rest.count))
            count &+= 1
        }
        // The first message goes before what streams each time that the request is written: with all that followed it.
        if !exchange.pointee.lead.isEmpty { exchange.pointee.lead = list.pointee }
        exchange.pointee.toEndpoint.pieces = UnsafePointer(list)
        exchange.pointee.toEndpoint.pieceCount = count
        exchange.pointee.toEndpoint.piecesAreCounted = true
        exchange.pointee.replaySize = 0
        return true
    }

    /// Gives back what was kept of a refused request.
    @inline(__always)
    func releaseRecovered(_ exchange: ExchangePointer) {
        // Every exchange asks for it, and next to none has anything.
        if exchange.pointee.isRecovered { giveRecovered(exchange) }
    }

    @inline(never)
    private func giveRecovered(_ exchange: ExchangePointer) {
        buffers.give(exchange.pointee.recovered.0)
        buffers.give(exchange.pointee.recovered.1)
        exchange.pointee.recovered = (.none, .none)
    }

    /// Whether a request of which a refusal left the beginning can go to this pool. Toward HTTP/1.1 a body whose length
    /// nobody has said is chunked, and the beginning has lost its chunks: its bytes would be read as framing.
    func mayTakeRecovered(_ exchange: ExchangePointer, _ pool: UnsafeMutablePointer<WorkerPool>) -> Bool {
        guard exchange.pointee.isRecovered, exchange.pointee.lead.isEmpty, !pool.pointee.speaksHTTP2,
            pool.pointee.adapter == exchange.pointee.adapter
        else { return true }
        if case .length? = exchange.pointee.head?.pointee.body { return true }
        return false
    }

    /// Somebody reads the body whole whose beginning a refusal left: the rest joins it.
    func gatherBehindRecovered(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        let flow = exchange.pointee.toEndpoint
        let (sent, rest) = exchange.pointee.recovered
        var size = sent.end + rest.count
        if flow.source == .length, !flow.sourceEnded { size += Int(flow.remaining) }
        exchange.pointee.gathered = buffers.take(max(size, 1))
        guard !exchange.pointee.gathered.isAbsent else { return failWithoutMemory(exchange) }
        if let base = sent.base { exchange.pointee.gathered.append(base, sent.end) }
        if rest.count > 0 { exchange.pointee.gathered.append(rest.head, rest.count) }
        exchange.pointee.toEndpoint.pieces = nil
        exchange.pointee.toEndpoint.pieceCount = 0
        releaseRecovered(exchange)
        if flow.sourceEnded { return gatheredIsWhole(exchange) }
        exchange.pointee.progressAt = nowMs
        armTimer(exchange)
        return gatherMore(exchange)
    }
}
