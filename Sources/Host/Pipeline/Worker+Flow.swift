import CLinux
import Glibc
import HTTP1
import SluiceABI

/// The mechanics of a body's flow, the same in both directions: what to send next, what was sent, chunked framing.
extension Worker {
    /// Bytes that a chunk's framing may add to its data: size line and line end.
    private static let chunkOverhead = ChunkedEncoder.sizeLineBytes + 2

    /// Lists what can be sent at once in `pieces`: staged bytes, pieces of a message, then bytes of the input.
    /// The flow is not changed; by value it would be copied, all of it, at each call.
    func collect(_ flow: inout BodyFlow, _ input: Buffer) -> Int {
        var count = 0
        if flow.staged.count > 0 {
            pieces[0] = iovec(iov_base: flow.staged.head, iov_len: flow.staged.count)
            count = 1
        }
        if flow.hasPieces, let list = flow.pieces {
            var index = flow.pieceIndex
            var offset = flow.pieceOffset
            while index < flow.pieceCount, count < Self.piecesAtMost {
                let piece = list[index]
                if piece.size > offset, let data = piece.data {
                    pieces[count] = iovec(
                        iov_base: UnsafeMutableRawPointer(mutating: data + offset), iov_len: piece.size - offset)
                    count &+= 1
                }
                offset = 0
                index &+= 1
            }
            return count
        }
        if flow.isDirect, !flow.sourceEnded, input.count > 0 {
            let size = flow.source == .length ? Int(min(flow.remaining, UInt64(input.count))) : input.count
            if size > 0 {
                pieces[count] = iovec(iov_base: input.head, iov_len: size)
                count &+= 1
            }
        }
        return count
    }

    /// What is worth copying so that one plain send takes it along with the head: gathering pieces costs the kernel
    /// more than a copy of so few bytes costs us.
    private static let worthCopying = 1_024

    /// Moves a small body, or its small rest, behind the head that waits in `staged`.
    @inline(__always)
    func joinSmall(_ flow: inout BodyFlow, _ input: inout Buffer) {
        guard flow.staged.count > 0 else { return }
        if flow.hasPieces {
            joinPieces(&flow)
            return
        }
        guard flow.source == .length, !flow.sourceEnded, input.count > 0 else { return }
        let size = Int(min(flow.remaining, UInt64(input.count)))
        guard size <= Self.worthCopying, size <= flow.staged.space else { return }
        flow.staged.append(input.head, size)
        if flow.isObserved { observe(&flow, input.head, size) }
        input.start &+= size
        flow.bodyBytes &+= UInt64(size)
        flow.inspected = max(0, flow.inspected &- size)
        flow.remaining &-= UInt64(size)
        if flow.remaining == 0 { flow.sourceEnded = true }
    }

    private func joinPieces(_ flow: inout BodyFlow) {
        guard let list = flow.pieces, flow.pieceOffset == 0 else { return }
        while flow.hasPieces {
            let piece = list[flow.pieceIndex]
            guard piece.size <= Self.worthCopying, piece.size <= flow.staged.space else { return }
            if let data = piece.data { flow.staged.append(data, piece.size) }
            if !flow.piecesAreCounted { flow.bodyBytes &+= UInt64(piece.size) }
            flow.pieceIndex &+= 1
        }
    }

    @inline(__always)
    func sendCollected(_ descriptor: Int32, _ count: Int) -> (bytes: Int, wanted: Int) {
        if count == 1 {
            let wanted = pieces[0].iov_len
            return (sendBytes(descriptor, pieces[0].iov_base.unsafelyUnwrapped, wanted), wanted)
        }
        var wanted = 0
        for index in 0..<count { wanted &+= pieces[index].iov_len }
        return (sendPieces(descriptor, pieces, count), wanted)
    }

    /// Takes `sent` bytes off the flow, in the order of `collect`.
    func consume(_ flow: inout BodyFlow, _ input: inout Buffer, _ sent: Int) {
        var left = sent
        let staged = min(left, flow.staged.count)
        flow.staged.start &+= staged
        left &-= staged
        if flow.hasPieces, let list = flow.pieces {
            while flow.hasPieces {
                let rest = list[flow.pieceIndex].size - flow.pieceOffset
                if left < rest {
                    flow.pieceOffset &+= left
                    if !flow.piecesAreCounted { flow.bodyBytes &+= UInt64(left) }
                    return
                }
                left &-= rest
                if !flow.piecesAreCounted { flow.bodyBytes &+= UInt64(rest) }
                flow.pieceIndex &+= 1
                flow.pieceOffset = 0
            }
            return
        }
        guard left > 0 else { return }
        if flow.isObserved { observe(&flow, input.head, left) }
        input.start &+= left
        flow.bodyBytes &+= UInt64(left)
        flow.inspected = max(0, flow.inspected &- left)
        if flow.source == .length {
            flow.remaining &-= UInt64(left)
            if flow.remaining == 0 { flow.sourceEnded = true }
        }
    }

    /// Moves bytes of a body that is not sent as it lies from `input` into `staged`, framed for the sink. A fault of
    /// the source's framing, or nil.
    func stageChunks(_ flow: inout BodyFlow, _ input: inout Buffer, fromClient: Bool = false) -> ParseFault? {
        // What is staged goes out first: the buffer is then used from its begin.
        guard flow.staged.count == 0, !flow.sourceEnded, input.count > 0 else { return nil }
        guard prepareStaged(&flow) else { return nil }
        while input.count > 0, flow.staged.space > Self.chunkOverhead {
            if flow.source == .untilClose {
                let count = min(input.count, flow.staged.space - Self.chunkOverhead)
                appendChunk(&flow, input.head, count)
                input.start &+= count
                if flow.showsChunks { return nil }
                continue
            }
            let step = flow.decoder.next(input.head, count: min(input.count, flow.staged.space - Self.chunkOverhead))
            switch step.event {
            case .data(let offset, let count):
                appendChunk(&flow, input.head + offset, count)
                input.start &+= step.consumed
                if flow.showsChunks { return nil }
            case .needMore:
                input.start &+= step.consumed
                if step.consumed == 0 { return nil }
            case .end(let offset, let count):
                if fromClient, count > 0, claimsOwnField(trailers: input.head + offset, count) {
                    return .forbiddenTrailer
                }
                if count > 0 { giveUpKept(&flow) }
                appendEnd(&flow, trailers: input.head + offset, count)
                if flow.keepsTrailers, count > 0, reserve(count, in: &flow.trailers) {
                    flow.trailers.append(input.head + offset, count)
                }
                input.start &+= step.consumed
                flow.sourceEnded = true
                return nil
            case .failed(let fault):
                return fault
            }
        }
        return nil
    }

    private func prepareStaged(_ flow: inout BodyFlow) -> Bool {
        if flow.staged.capacity < BufferPool.medium {
            let larger = buffers.take(BufferPool.medium)
            guard !larger.isAbsent else { return false }
            buffers.give(flow.staged)
            flow.staged = larger
        }
        flow.staged.start = 0
        flow.staged.end = 0
        return true
    }

    private func appendChunk(_ flow: inout BodyFlow, _ bytes: UnsafePointer<UInt8>, _ count: Int) {
        guard count > 0 else { return }
        if flow.isObserved { observe(&flow, bytes, count) }
        flow.bodyBytes &+= UInt64(count)
        if flow.sinkIsChunked {
            flow.staged.end &+= ChunkedEncoder.writeSizeLine(UInt64(count), to: flow.staged.tail)
        }
        (flow.unseenStart, flow.unseenCount) = (flow.staged.end, count)
        flow.staged.append(bytes, count)
        if flow.sinkIsChunked { flow.staged.append(ChunkedEncoder.chunkEnd.utf8Start, 2) }
    }

    /// The last chunk and its trailers, which the decoder has checked. The staged buffer always has room for them:
    /// trailers are smaller than a head, and the loop above leaves none of it to data.
    private func appendEnd(_ flow: inout BodyFlow, trailers: UnsafePointer<UInt8>, _ count: Int) {
        guard flow.sinkIsChunked else { return }
        let needed = count + 8
        if flow.staged.space < needed {
            var larger = buffers.take(flow.staged.count + needed)
            if larger.isAbsent { return }
            larger.append(flow.staged.head, flow.staged.count)
            buffers.give(flow.staged)
            flow.staged = larger
        }
        flow.staged.append(ChunkedEncoder.lastChunk.utf8Start, 3)
        if count > 0 { flow.staged.append(trailers, count) }
        flow.staged.append(ChunkedEncoder.chunkEnd.utf8Start, 2)
    }

    /// The source has closed a body that ends with its connection or its stream. `trailers`: lines that follow it.
    func stageClose(_ flow: inout BodyFlow, trailers: Buffer = .none) {
        flow.sourceEnded = true
        guard flow.sinkIsChunked, prepareStagedForEnd(&flow) else { return }
        if trailers.count > 0 { return appendEnd(&flow, trailers: trailers.head, trailers.count) }
        flow.staged.append(ChunkedEncoder.end.utf8Start, 5)
    }

    private func prepareStagedForEnd(_ flow: inout BodyFlow) -> Bool {
        if flow.staged.count == 0 { return prepareStaged(&flow) }
        if flow.staged.space >= 5 { return true }
        var larger = buffers.take(flow.staged.count + 8)
        guard !larger.isAbsent else { return false }
        larger.append(flow.staged.head, flow.staged.count)
        buffers.give(flow.staged)
        flow.staged = larger
        return true
    }

    // MARK: Filters that see bodies

    /// Filters' `on_response` for a response that streams: they see its head, and may change fields, refuse
    /// or suspend it. An action when it cannot go on; the machine is suspended when it may later.
    /// `mayGather`: one of them may have the answer gathered for itself.
    func showHead(_ exchange: ExchangePointer, mayGather: Bool = false) -> ExchangeMachine.Action? {
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        guard hearsResponses(tables.pointee.filters) || hearsResponses(modelFilters(exchange)) else { return nil }
        exchange.pointee.mayGatherAnswer = mayGather
        defer { exchange.pointee.mayGatherAnswer = false }
        // A second look at a head that one of them had suspended: what the others have made of it stands.
        if exchange.pointee.answerLink != Exchange.allLinks, shownResponse(exchange) != nil {
            return runResponseFilters(exchange, suspending: .headSuspended)
        }
        guard keepResponseHead(exchange), let response = freshResponse(exchange),
            let message = exchange.pointee.responseMessage
        else { return failWithoutMemory(exchange) }
        if !exchange.pointee.toClient.sourceEnded {
            message.pointee.body_state = UInt32(SLUICE_BODY_STREAMING)
            message.pointee.body_size = exchange.pointee.toClient.announced
        }
        response.pointee.message = UnsafePointer(message)
        response.pointee.http_status = message.pointee.status
        return runResponseFilters(exchange, suspending: .headSuspended)
    }

    private func hearsResponses(_ chain: FilterChain) -> Bool {
        for position in 0..<chain.count where chain.links[position].table.pointee.on_response != nil { return true }
        return false
    }

    /// Whether a filter on the exchange's way asked for the pieces of bodies.
    func wantsChunks(_ exchange: ExchangePointer) -> Bool {
        filterNeeds(exchange) & UInt32(SLUICE_FILTER_CHUNKS) != 0
    }

    /// Shows bytes that no filter has seen yet to those that asked for chunks. An action when one objects.
    func showChunk(_ exchange: ExchangePointer, _ side: Int32, _ input: Buffer) -> ExchangeMachine.Action? {
        guard wantsChunks(exchange) else { return nil }
        let tables = exchange.pointee.generation.unsafelyUnwrapped
        let isRequest = side == SLUICE_SIDE_REQUEST
        let flow = isRequest ? exchange.pointee.toEndpoint : exchange.pointee.toClient
        let available: sluice_bytes
        if flow.isDirect {
            let size = flow.source == .length ? Int(min(flow.remaining, UInt64(input.count))) : input.count
            guard size > flow.inspected else { return nil }
            available = sluice_bytes(input.head.asImmutable + flow.inspected, size - flow.inspected)
            if isRequest {
                exchange.pointee.toEndpoint.inspected = size
            } else {
                exchange.pointee.toClient.inspected = size
            }
        } else {
            // Through `staged`, where the framing around it is the gateway's.
            guard flow.showsChunks, flow.unseenCount > 0, let base = flow.staged.base else { return nil }
            available = sluice_bytes((base + flow.unseenStart).asImmutable, flow.unseenCount)
            if isRequest {
                exchange.pointee.toEndpoint.unseenCount = 0
            } else {
                exchange.pointee.toClient.unseenCount = 0
            }
        }
        if let action = show(available, to: tables.pointee.filters, exchange, side) { return action }
        return show(available, to: modelFilters(exchange), exchange, side)
    }

    /// The same for the filters of one chain, or those of them that stand from `first` on.
    func show(
        _ available: sluice_bytes, to chain: FilterChain, from first: Int = 0, _ exchange: ExchangePointer,
        _ side: Int32
    ) -> ExchangeMachine.Action? {
        for position in min(first, chain.count)..<chain.count {
            let filter = chain.links + position
            guard filter.pointee.needs & UInt32(SLUICE_FILTER_CHUNKS) != 0,
                let function = filter.pointee.table.pointee.on_chunk
            else { continue }
            let start = beginCall(exchange)
            let status = function(filter.pointee.instance, exchange.handle, UInt32(side), available)
            endCall(exchange, filter.pointee.plugin, start)
            if status < 0 {
                answersErrors(exchange)
                exchange.pointee.editsBeforeAnswer = Exchange.keepsEdits
                return failPlugin(exchange, status, filter.pointee.plugin)
            }
        }
        return nil
    }
}
