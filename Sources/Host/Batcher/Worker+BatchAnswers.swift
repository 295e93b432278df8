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
        let cacheControl = cacheControl(exchange)
        var first = 0
        for member in batch.pointee.members {
            let count = Int(member.pointee.rows)
            if let block = TensorBlock(payload, first: first, rows: count) {
                deliver(
                    BatchReply(
                        token: member.pointee.token, status: SLUICE_OK, httpStatus: 0, rows: batch.pointee.rows,
                        block: block, cacheControl: cacheControl), to: member.pointee.worker)
                discard(member)
            } else {
                reply(to: member, error: SLUICE_INTERNAL, 502, [UInt8]("the answer to a batch is malformed".utf8))
            }
            first += count
        }
        batchDone(exchange, SLUICE_OK)
        batch.pointee.members.removeAll()
        return .finish(keepAlive: false)
    }

    /// The endpoint's `Cache-Control`, which is about each member's answer as well.
    private func cacheControl(_ exchange: ExchangePointer) -> [UInt8] {
        guard let message = exchange.pointee.responseMessage else { return [] }
        var words: [UInt8] = []
        for index in 0..<Int(message.pointee.field_count)
        where message.pointee.fields[index].name.equalsIgnoringCase(sluice_bytes(Self.cacheControlName)) {
            let value = message.pointee.fields[index].value
            if !words.isEmpty { words += Array(", ".utf8) }
            words += UnsafeBufferPointer(start: value.data, count: value.size)
        }
        return words
    }

    private static let cacheControlName: StaticString = "cache-control"

    /// The merged request failed. When that may be one member's fault, or comes of their number, each is asked for
    /// alone: an error of one stays that member's.
    func failBatch(
        _ exchange: ExchangePointer, _ status: sluice_status, _ httpStatus: UInt32, _ message: sluice_bytes,
        retryAfter: UInt32
    ) -> ExchangeMachine.Action {
        guard let batch = exchange.pointee.batch else { return .finish(keepAlive: false) }
        batchDone(exchange, status)
        let members = batch.pointee.members
        batch.pointee.members.removeAll()
        let isTooLarge = batch.pointee.isTooLarge || httpStatus == 413
        // Names and parameters of the merged request lie in its first member's memory.
        let isBorrowed = exchange.pointee.borrower >= 0
        if isBorrowed { exchange.pointee.payloadBlock = members.first?.pointee.block.memory }
        if members.count > 1, !isBorrowed, status == SLUICE_INVALID_ARGUMENT || isTooLarge {
            for member in members { startBatch(batch.pointee.pool, [member]) }
        } else {
            let text = Array(UnsafeBufferPointer(start: message.data, count: message.size))
            let retryAfter = httpStatus == 503 ? max(retryAfter, 1) : retryAfter
            for (position, member) in members.enumerated() {
                reply(
                    to: member, error: status, httpStatus, text, retryAfter: retryAfter,
                    keepsBlock: isBorrowed && position == 0)
            }
        }
        return .finish(keepAlive: false)
    }

    private func batchDone(_ exchange: ExchangePointer, _ status: sluice_status) {
        guard let pool = exchange.pointee.pool, let batching = pool.pointee.batching else { return }
        batching.pointee.inFlight &-= 1
        guard let done = batching.pointee.batcher.table.pointee.on_batch_done else { return }
        var outcome = sluice_outcome()
        outcome.endpoint = exchange.pointee.endpointIndex
        outcome.status = status
        outcome.http_status = UInt32(exchange.pointee.httpStatus)
        outcome.attempt = UInt32(exchange.pointee.machine.attempts)
        outcome.total_ns = now &- exchange.pointee.receivedAt
        outcome.ended_ns = now
        let rows = exchange.pointee.batchRows
        let count = UInt32(exchange.pointee.batch?.pointee.members.count ?? 0)
        done(batching.pointee.batcher.instance, count, rows, &outcome)
    }

    func reply(
        to member: UnsafeMutablePointer<BatchMember>, error status: sluice_status, _ httpStatus: UInt32,
        _ message: [UInt8], retryAfter: UInt32 = 0, keepsBlock: Bool = false
    ) {
        deliver(
            BatchReply(
                token: member.pointee.token, status: status, httpStatus: httpStatus, rows: 0, block: nil,
                message: message, retryAfter: retryAfter), to: member.pointee.worker)
        discard(member, keepsBlock: keepsBlock)
    }

    /// `keepsBlock`: its payload is somebody else's from here on.
    func discard(_ member: UnsafeMutablePointer<BatchMember>, keepsBlock: Bool = false) {
        if !keepsBlock { member.pointee.block.deallocate() }
        member.deinitialize(count: 1)
        member.deallocate()
    }

    private func deliver(_ reply: BatchReply, to worker: Int) {
        let pointer = UnsafeMutablePointer<BatchReply>.allocate(capacity: 1)
        pointer.initialize(to: reply)
        // Through the mailbox even to itself: a member that ends must not do so inside the batch's own steps.
        peers[worker].mailbox.send(.batchReply, pointer: UnsafeMutableRawPointer(pointer))
    }

    func receiveReply(_ pointer: UnsafeMutableRawPointer) {
        let box = pointer.assumingMemoryBound(to: BatchReply.self)
        let reply = box.move()
        box.deallocate()
        guard let exchange = exchange(of: reply.token), exchange.pointee.isBatchMember else {
            reply.block?.deallocate()
            return
        }
        exchange.pointee.isBatchMember = false
        exchange.pointee.queuedFor = now &- exchange.pointee.queuedAt
        if reply.rows > 0 { exchange.pointee.batchRows = reply.rows }
        guard let block = reply.block, let response = freshResponse(exchange) else {
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
        if !reply.cacheControl.isEmpty, let field = allocate(exchange, sluice_field.self, 1),
            let value = reply.cacheControl.withUnsafeBufferPointer({
                copy(exchange, sluice_bytes(data: $0.baseAddress, size: $0.count))
            })
        {
            field.initialize(to: sluice_field(name: sluice_bytes(Self.cacheControlName), value: value))
            response.pointee.fields = UnsafePointer(field)
            response.pointee.field_count = 1
        }
        perform(exchange, answerUnified(exchange))
    }

    /// The exchange ends: a member that still waits is forgotten by its home, a carrier gives back its list.
    func leaveBatch(_ exchange: ExchangePointer) {
        leaveBatchQueue(exchange)
        if let batch = exchange.pointee.batch {
            batch.deinitialize(count: 1)
            batch.deallocate()
            exchange.pointee.batch = nil
        }
    }

    /// The exchange waits for a batch's answer no more.
    func leaveBatchQueue(_ exchange: ExchangePointer) {
        guard exchange.pointee.isBatchMember, let batching = exchange.pointee.pool?.pointee.batching else { return }
        exchange.pointee.isBatchMember = false
        exchange.pointee.queuedFor = now &- exchange.pointee.queuedAt
        cancelMember(token(of: exchange), batching)
    }

    private func cancelMember(_ token: UInt64, _ batching: UnsafeMutablePointer<PoolBatching>) {
        guard batching.pointee.homeWorker == index else {
            peers[batching.pointee.homeWorker].mailbox.send(
                .batchCancel, value: token, pointer: UnsafeMutableRawPointer(batching.pointee.home))
            return
        }
        removeMember(token, batching.pointee.home)
    }

    func removeMember(_ token: UInt64, _ pool: UnsafeMutablePointer<WorkerPool>) {
        guard let batching = pool.pointee.batching else { return }
        for position in batching.pointee.groups.indices.reversed() {
            let removed = batching.pointee.groups[position].queue.remove { $0.pointee.token == token }
            for entry in removed { discard(entry.member) }
            if batching.pointee.groups[position].queue.isEmpty { removeGroup(position, batching) }
        }
    }
}
