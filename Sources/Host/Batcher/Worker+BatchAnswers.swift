import CLinux
import Glibc
import HTTP1
import SluiceABI

/// The answer to a batch: split among its members, or an error that stays with the member whose fault it is.
extension Worker {
    /// The merged answer is in `exchange.response`: each member gets its rows.
    func splitBatch(_ exchange: ExchangePointer) -> ExchangeMachine.Action {
        guard let batch = exchange.pointee.batch, let response = exchange.pointee.response else { return .none }
        let payload = response.pointee.payload
        let rows = Int64(batch.pointee.rows)
        var splits = payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS)
        for index in 0..<Int(payload.tensor_count) {
            let tensor = payload.tensors[index]
            if tensor.rank == 0 || tensor.shape[0] != rows { splits = false }
        }
        guard splits else {
            return fail(
                exchange, SLUICE_INTERNAL, 502,
                "the model's answer to a batch has not as many rows as the batch: take batching off this model")
        }
        guard let fields = memberFields(exchange, response.pointee) else { return failWithoutMemory(exchange) }
        // Names and parameters of the merged request lie in its first member's memory, and a backend in this process
        // may have put them into its answer: it stays until all is split.
        let lent = batch.pointee.members.first?.pointee.block
        var first = 0
        for (position, member) in batch.pointee.members.enumerated() {
            let count = Int(member.pointee.rows)
            if let block = TensorBlock(payload, first: first, rows: count, fields: fields) {
                deliver(
                    BatchReply(status: SLUICE_OK, httpStatus: response.pointee.http_status, block: block), to: member,
                    keepsBlock: position == 0)
            } else {
                reply(
                    to: member, error: SLUICE_INTERNAL, 502, [UInt8]("the answer to a batch is malformed".utf8),
                    keepsBlock: position == 0)
            }
            first += count
        }
        lent?.deallocate()
        batchDone(exchange, SLUICE_OK)
        batch.pointee.members = MemberList()
        return .finish(keepAlive: false)
    }

    /// The fields of the answer that are each member's, in the batch's memory; nil without any left.
    private func memberFields(
        _ exchange: ExchangePointer, _ response: sluice_response
    ) -> UnsafeBufferPointer<sluice_field>? {
        let head = exchange.pointee.responseMessage?.pointee
        var count = 0
        MemberFields.forEach(of: response, head) { _ in count += 1 }
        guard count > 0 else { return UnsafeBufferPointer(start: nil, count: 0) }
        guard let fields = allocate(exchange, sluice_field.self, count) else { return nil }
        var next = fields
        MemberFields.forEach(of: response, head) { field in
            next.initialize(to: field)
            next += 1
        }
        return UnsafeBufferPointer(start: fields, count: count)
    }

    /// The merged request failed. When that may be one member's fault, or comes of their number, each is asked for
    /// alone: an error of one stays that member's.
    func failBatch(
        _ exchange: ExchangePointer, _ status: sluice_status, _ httpStatus: UInt32, _ message: sluice_bytes,
        retryAfter: UInt32
    ) -> ExchangeMachine.Action {
        guard let batch = exchange.pointee.batch else { return .finish(keepAlive: false) }
        batchDone(exchange, status)
        let members = batch.pointee.members
        batch.pointee.members = MemberList()
        let isTooLarge = batch.pointee.isTooLarge || httpStatus == 413
        // Names and parameters of the merged request lie in its first member's memory.
        let isBorrowed = exchange.pointee.borrower >= 0
        if isBorrowed { exchange.pointee.payloadBlock = members.first?.pointee.block.memory }
        if members.count > 1, !isBorrowed, status == SLUICE_INVALID_ARGUMENT || isTooLarge {
            for member in members { startBatch(batch.pointee.pool, MemberList(member)) }
        } else {
            let text = Array(UnsafeBufferPointer(start: message.data, count: message.size))
            let retryAfter = httpStatus == 503 ? max(retryAfter, 1) : retryAfter
            for (position, member) in members.enumerated() {
                reply(
                    to: member, error: status, httpStatus, text, retryAfter: retryAfter,
                    answersErrors: batch.pointee.answersErrors, keepsBlock: isBorrowed && position == 0)
            }
        }
        return .finish(keepAlive: false)
    }

    func batchDone(_ exchange: ExchangePointer, _ status: sluice_status) {
        guard let pool = exchange.pointee.pool, let batching = pool.pointee.batching else { return }
        batching.pointee.inFlight &-= 1
        guard let done = batching.pointee.batcher.table.pointee.on_batch_done else { return }
        var outcome = sluice_outcome()
        let wasAsked = exchange.pointee.machine.attempts > 0 && exchange.pointee.endpoint != nil
        outcome.endpoint = wasAsked ? presentIndex(exchange) ?? SLUICE_NONE : SLUICE_NONE
        outcome.status = status
        outcome.http_status = UInt32(exchange.pointee.httpStatus)
        outcome.attempt = UInt32(exchange.pointee.machine.attempts)
        let begun = wasAsked ? exchange.pointee.attemptAt : exchange.pointee.receivedAt
        if exchange.pointee.firstByteAt != 0 { outcome.first_byte_ns = exchange.pointee.firstByteAt &- begun }
        outcome.total_ns = now &- begun
        outcome.ended_ns = now
        let rows = exchange.pointee.batchRows
        let count = UInt32(exchange.pointee.batch?.pointee.members.count ?? 0)
        done(batching.pointee.batcher.instance, count, rows, &outcome)
    }

    func reply(
        to member: UnsafeMutablePointer<BatchMember>, error status: sluice_status, _ httpStatus: UInt32,
        _ message: [UInt8], retryAfter: UInt32 = 0, answersErrors: Bool = false, keepsBlock: Bool = false
    ) {
        deliver(
            BatchReply(
                status: status, httpStatus: httpStatus, block: nil, answersErrors: answersErrors, message: message,
                retryAfter: retryAfter), to: member, keepsBlock: keepsBlock)
    }

    /// The member is neither in the queue nor in a batch any more, and nobody waits for a reply.
    func discard(_ member: UnsafeMutablePointer<BatchMember>) {
        leavesQueue(member)
        member.pointee.block.deallocate()
        member.release()
    }

    /// The member has waited for its batch, or for nothing; told once.
    func leavesQueue(_ member: UnsafeMutablePointer<BatchMember>) {
        guard let waited = member.pointee.wait.end(at: now) else { return }
        let shared = member.pointee.pool.pointee.shared
        metrics.waitedForBatch(pool: PoolMetricsID(index: shared.pointee.metrics), nanoseconds: waited)
    }

    /// `keepsBlock`: the member's payload is somebody else's from here on.
    private func deliver(_ reply: BatchReply, to member: UnsafeMutablePointer<BatchMember>, keepsBlock: Bool = false) {
        member.pointee.carrier = nil
        if !keepsBlock { member.pointee.block.deallocate() }
        member.pointee.reply = reply
        // Through the mailbox even to itself: a member that ends must not do so inside the batch's own steps.
        peers[member.pointee.worker].mailbox.send(.batchReply, pointer: UnsafeMutableRawPointer(member), from: mailbox)
    }

    func receiveReply(_ pointer: UnsafeMutableRawPointer) {
        let member = pointer.assumingMemoryBound(to: BatchMember.self)
        defer { member.release() }
        guard let reply = member.pointee.reply else { return }
        guard let exchange = exchange(of: member.pointee.token), exchange.pointee.batchMember == member else {
            reply.block?.deallocate()
            return
        }
        stopsWaiting(exchange, member)
        guard let block = reply.block, let response = freshResponse(exchange) else {
            if reply.answersErrors { answersErrors(exchange) }
            // The batch may tell of the end of its members' time before a member's own timer does.
            if reply.status == SLUICE_DEADLINE_EXCEEDED, !hasTimeLeft(exchange) {
                countTimeout(exchange, exchange.pointee.callDeadline / 1_000_000 <= nowMs ? .deadline : .response)
            }
            let message = reply.message.withUnsafeBufferPointer {
                copy(exchange, sluice_bytes(data: $0.baseAddress, size: $0.count))
            }
            perform(
                exchange,
                fail(
                    exchange, reply.status, reply.httpStatus, message ?? .empty, retryAfter: reply.retryAfter))
            return
        }
        exchange.pointee.payloadBlock = block.memory
        response.pointee.payload = block.payload.pointee
        response.pointee.http_status = reply.httpStatus
        response.pointee.fields = block.fields.baseAddress
        response.pointee.field_count = UInt32(truncatingIfNeeded: block.fields.count)
        perform(exchange, answerUnified(exchange))
    }

    /// The exchange waits for its batch no more: how long it has, and in what, is what the batch's home has noted.
    private func stopsWaiting(_ exchange: ExchangePointer, _ member: UnsafeMutablePointer<BatchMember>) {
        exchange.pointee.batchMember = nil
        exchange.pointee.queuedFor &+= member.pointee.wait.sum(at: now)
        exchange.pointee.batchRows = member.pointee.batchRows.load(ordering: .relaxed)
        member.release()
    }

    /// The exchange ends: a member that still waits is forgotten by its home, a carrier gives back its list.
    func leaveBatch(_ exchange: ExchangePointer) {
        leaveBatchQueue(exchange)
        if let batch = exchange.pointee.batch {
            SharedBlocks.give(batch, MemoryLayout<Batch>.stride)
            exchange.pointee.batch = nil
        }
    }

    /// The exchange waits for a batch's answer no more.
    func leaveBatchQueue(_ exchange: ExchangePointer) {
        guard let member = exchange.pointee.batchMember else { return }
        member.retain()
        stopsWaiting(exchange, member)
        guard let batching = exchange.pointee.pool?.pointee.batching else { return member.release() }
        leave(member, batching.pointee.homeWorker)
    }
}
