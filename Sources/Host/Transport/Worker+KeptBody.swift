import HTTP1
import SluiceABI

/// A small body of a request that may be repeated, and that did not come with its head: what an endpoint was sent of it
/// is kept, in case that another one has to have it. In the arena of its exchange.
struct KeptBody {
    /// All of it, as one piece of a message. First, so that the piece's address is that of what is kept.
    var piece = sluice_bytes()
    /// As it came from the client, without the framing around it.
    var bytes = Buffer.none
    /// Nothing follows.
    var isWhole = false

    /// As large a body as a head waits for.
    static let bytesAtMost = Int(Worker.heldBodyAtMost)
}

/// What is known of a body that streams: whether anything of it was taken, and what that was.
extension Worker {
    /// The body begins to stream. A call has its first message, and what follows that may never end.
    func keepBody(_ exchange: ExchangePointer) {
        let flow = exchange.pointee.toEndpoint
        guard flow.kept == nil, !exchange.pointee.isGRPC,
            flow.source != .length || flow.remaining <= UInt64(KeptBody.bytesAtMost),
            let kept = allocate(exchange, KeptBody.self, 1)
        else { return }
        kept.initialize(to: KeptBody())
        exchange.pointee.toEndpoint.kept = kept
    }

    /// Bytes leave the source of a flow whose body is hashed or kept.
    @inline(never)
    func observe(_ flow: inout BodyFlow, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        flow.digest?.pointee.update(bytes, count)
        keep(&flow, bytes, count)
    }

    private func keep(_ flow: inout BodyFlow, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard let kept = flow.kept else { return }
        guard kept.pointee.bytes.count + count <= KeptBody.bytesAtMost, reserve(count, in: &kept.pointee.bytes) else {
            return giveUpKept(&flow)
        }
        kept.pointee.bytes.append(bytes, count)
    }

    /// It is larger than is kept, has trailers, or lies in the client's input as a whole.
    func giveUpKept(_ flow: inout BodyFlow) {
        guard let kept = flow.kept else { return }
        buffers.give(kept.pointee.bytes)
        kept.pointee = KeptBody()
        flow.kept = nil
    }

    /// Something of a body that streams may have been taken: it can be repeated when all of it is, and was kept.
    @inline(__always)
    func noteTaken(_ exchange: ExchangePointer) {
        guard exchange.pointee.isUntouched || exchange.pointee.toEndpoint.isObserved else { return }
        let ended = exchange.pointee.toEndpoint.sourceEnded
        if exchange.pointee.isUntouched, ended || exchange.pointee.toEndpoint.bodyBytes > 0 {
            exchange.pointee.isUntouched = false
            exchange.pointee.machine.repeatable = false
        }
        if ended, exchange.pointee.toEndpoint.kept != nil { noteWhole(exchange) }
    }

    @inline(never)
    private func noteWhole(_ exchange: ExchangePointer) {
        guard let kept = exchange.pointee.toEndpoint.kept, !kept.pointee.isWhole else { return }
        // They would have to follow it once more.
        guard exchange.pointee.toEndpoint.trailers.count == 0 else { return giveUpKept(&exchange.pointee.toEndpoint) }
        kept.pointee.isWhole = true
        exchange.pointee.machine.repeatable = true
    }

    /// The request is sent again: what was kept goes from where it lies.
    func sendKept(_ exchange: ExchangePointer, _ kept: UnsafeMutablePointer<KeptBody>) {
        let bytes = kept.pointee.bytes
        if bytes.count > 0 { kept.pointee.piece = sluice_bytes(bytes.head.asImmutable, bytes.count) }
        exchange.pointee.toEndpoint.pieces = UnsafeRawPointer(kept).assumingMemoryBound(to: sluice_bytes.self)
        exchange.pointee.toEndpoint.pieceCount = bytes.count > 0 ? 1 : 0
        exchange.pointee.toEndpoint.piecesAreCounted = true
    }

    /// The client has sent its body: no endpoint need ask for that any more.
    func leaveExpectation(_ fields: FieldSection, to left: inout FieldMask) {
        guard fields.expect >= 0 else { return }
        for index in 0..<fields.count where fields[index].name.equalsIgnoringCase(sluice_bytes("Expect")) {
            left.insert(index)
        }
    }

    /// Somebody reads the body whole that streamed toward another pool: what was kept is all of it. Nil: it is not.
    func gatherKept(_ exchange: ExchangePointer) -> ExchangeMachine.Action? {
        guard let kept = exchange.pointee.toEndpoint.kept else { return nil }
        exchange.pointee.toEndpoint.kept = nil
        let bytes = kept.pointee.bytes
        guard kept.pointee.isWhole, bytes.count > 0 else {
            buffers.give(bytes)
            return nil
        }
        exchange.pointee.toEndpoint.pieces = nil
        exchange.pointee.toEndpoint.pieceCount = 0
        guard exchange.pointee.ownedBuffers.adopt(bytes) else {
            buffers.give(bytes)
            return failWithoutMemory(exchange)
        }
        return bodyGathered(exchange, sluice_bytes(bytes.head.asImmutable, bytes.count))
    }
}
