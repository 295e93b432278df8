import HTTP1
import SluiceABI

/// A head that waits a moment for its small body.
///
/// Many clients write the two apart, and each write toward the endpoint costs the kernel more than all that this
/// gateway does with a request: sent together they save one. Nothing is gathered for long: after `holdMs` the head
/// leaves alone and the body streams behind it.
extension Worker {
    /// The largest body that is waited for: one that fits the buffer that is there anyway.
    static let heldBodyAtMost: UInt64 = 16_384
    /// How long, in milliseconds: a client's second write is there within microseconds. Less than a person or a
    /// deadline notices, for a client that means to send its body later.
    private static let holdMs: UInt64 = 5

    /// Before the first byte of a request goes out: whether the rest of its body is worth a moment.
    func mayHold(_ exchange: ExchangePointer) -> Bool {
        let flow = exchange.pointee.toEndpoint
        guard exchange.pointee.passes, flow.source == .length, !flow.sourceEnded, !exchange.pointee.expectsContinue,
            let client = exchange.pointee.client, exchange.pointee.upstream?.pointee.isStream == false
        else { return false }
        return flow.remaining <= Self.heldBodyAtMost && UInt64(client.pointee.input.count) < flow.remaining
    }

    /// Takes what has come of the body. Nil when head and body may go; an action while they wait, or when they cannot.
    func hold(
        _ exchange: ExchangePointer, _ client: UnsafeMutablePointer<ClientConnection>,
        _ upstream: UnsafeMutablePointer<UpstreamConnection>
    ) -> ExchangeMachine.Action? {
        while UInt64(client.pointee.input.count) < exchange.pointee.toEndpoint.remaining {
            guard client.pointee.readable else {
                // The endpoint's timer has nothing else to time while a request is on its connection.
                if !exchange.pointee.holdTimerRuns {
                    exchange.pointee.holdTimerRuns = true
                    timers.start(upstream.timer, at: nowMs &+ Self.holdMs)
                }
                return ExchangeMachine.Action.none
            }
            guard makeRoomForBody(exchange, client) else { return failWithoutMemory(exchange) }
            switch receive(client) {
            case .bytes: exchange.pointee.progressAt = nowMs
            case .drained: break
            case .endOfStream, .broken: return exchange.pointee.machine.handle(.clientGone)
            }
        }
        exchange.pointee.holdsHead = false
        // All of it is at hand now: it may be sent a second time.
        noteReplay(exchange)
        return nil
    }

    /// The moment is over: the head goes, and the body streams after it.
    func holdExpired(_ exchange: ExchangePointer) {
        exchange.pointee.holdsHead = false
        perform(exchange, pumpRequest(exchange))
    }
}
