import CLinux
import Glibc
import SluiceABI

/// Batching: members travel to their pool's home worker, are merged along the first dimension, sent as one request, and
/// the answer is split again.
extension Worker {
    /// A token of an exchange for other threads: its worker, its slot's generation, its slot.
    func token(of exchange: ExchangePointer) -> UInt64 {
        let slot = exchange.pointee.slot
        return UInt64(index) << 52 | UInt64(slot.generation) << 24 | UInt64(slot.index)
    }

    func exchange(of token: UInt64) -> ExchangePointer? {
        exchanges.find(
            index: UInt32(truncatingIfNeeded: token & 0xFF_FFFF),
            generation: UInt32(truncatingIfNeeded: token >> 24) & SlabSlot.generationMask)
    }

    /// Tensors in the message, each with the same first dimension, and no more rows than a batch may have: a larger
    /// request gains nothing by waiting for company.
    func isBatchable(_ exchange: ExchangePointer, maxRows: UInt32) -> Bool {
        let payload = exchange.pointee.request.unsafelyUnwrapped.pointee.payload
        guard payload.kind == UInt32(SLUICE_PAYLOAD_TENSORS), payload.tensor_count > 0 else { return false }
        let rows = payload.tensors[0].rank > 0 ? payload.tensors[0].shape[0] : 0
        guard rows > 0, rows <= Int64(maxRows) else { return false }
        for index in 0..<Int(payload.tensor_count) {
            let tensor = payload.tensors[index]
            guard tensor.rank > 0, tensor.shape[0] == rows, tensor.region.isEmpty else { return false }
        }
        // A region is one request's: what its backend writes there is not to have the rows of others.
        return !payload.wantsSharedMemory
    }

    /// Sends the exchange's request to the queue of its pool.
    func joinBatch(
        _ exchange: ExchangePointer, _ batching: UnsafeMutablePointer<PoolBatching>
    ) -> ExchangeMachine.Action {
        let request = exchange.pointee.request.unsafelyUnwrapped
        let payload = request.pointee.payload
        guard let fields = fieldsForBatch(exchange),
            let block = TensorBlock(payload, fields: fields, tenant: request.pointee.tenant)
        else { return failWithoutMemory(exchange) }
        var bytes: UInt64 = 0
        for index in 0..<Int(payload.tensor_count) { bytes &+= UInt64(payload.tensors[index].data.size) }
        let namesVersion = !request.pointee.version.isEmpty
        var key = Self.mix(Self.compatibilityKey(payload), namesVersion ? 1 : 0)
        var copy: RequestCopy?
        if batching.pointee.batcher.table.pointee.group_key != nil {
            // Asked where the instance lives: other workers' members are asked for on arrival. It sees as much of both.
            if batching.pointee.homeWorker == index {
                var message = request.pointee.message?.pointee.headAlone ?? sluice_message()
                key = withUnsafePointer(to: &message) { message in
                    var seen = request.pointee
                    seen.message = message
                    seen.adapter_data = nil
                    return groupKey(batching, seen, key)
                }
            } else {
                copy = RequestCopy(request.pointee)
            }
        }
        let member = UnsafeMutablePointer.make(
            BatchMember(
                pool: batching.pointee.home, worker: index, token: token(of: exchange),
                rows: UInt32(payload.tensors[0].shape[0]), bytes: bytes, key: key,
                deadline: limitNs(exchange), callDeadline: exchange.pointee.callDeadline, enqueued: now, block: block,
                operation: request.pointee.operation, priority: request.pointee.priority,
                namesVersion: namesVersion, request: copy))
        member.pointee.wait.begin(at: now)
        exchange.pointee.machine.joinBatch()
        exchange.pointee.batchMember = member
        if batching.pointee.homeWorker == index {
            enqueue(member)
        } else {
            peers[batching.pointee.homeWorker].mailbox.send(
                .batchMember, pointer: UnsafeMutableRawPointer(member), from: mailbox)
        }
        return .none
    }

    func receiveMember(_ pointer: UnsafeMutableRawPointer) {
        let member = pointer.assumingMemoryBound(to: BatchMember.self)
        if let copy = member.pointee.request {
            if let batching = member.pointee.pool.pointee.batching {
                var request = copy.request.pointee
                request.payload = member.pointee.block.payload.pointee
                member.pointee.key = groupKey(batching, request, member.pointee.key)
            }
            copy.deallocate()
            member.pointee.request = nil
        }
        enqueue(member)
    }

    /// `key` and what the batcher adds to it.
    private func groupKey(
        _ batching: UnsafeMutablePointer<PoolBatching>, _ request: sluice_request, _ key: UInt64
    ) -> UInt64 {
        guard let ask = batching.pointee.batcher.table.pointee.group_key else { return key }
        return withUnsafePointer(to: request) { Self.mix(key, ask(batching.pointee.batcher.instance, $0)) }
    }

    /// FNV-1a over what must be alike: names, types, shapes but the first dimension, requested outputs, parameters.
    private static func compatibilityKey(_ payload: sluice_payload) -> UInt64 {
        var key: UInt64 = 0xcbf2_9ce4_8422_2325
        func add(_ bytes: sluice_bytes) {
            key = mix(key, UInt64(bytes.size))
            guard let data = bytes.data else { return }
            for index in 0..<bytes.size { key = (key ^ UInt64(data[index])) &* 0x100_0000_01b3 }
        }
        func add(_ parameters: UnsafePointer<sluice_parameter>?, _ count: UInt32) {
            key = mix(key, UInt64(count))
            for index in 0..<Int(count) {
                guard let parameter = parameters?[index] else { return }
                add(parameter.name)
                add(parameter.text)
                key = mix(key, UInt64(parameter.kind))
                key = mix(key, UInt64(bitPattern: parameter.integer))
                key = mix(key, parameter.number.bitPattern)
            }
        }
        for index in 0..<Int(payload.tensor_count) {
            let tensor = payload.tensors[index]
            add(tensor.name)
            key = mix(key, UInt64(tensor.datatype) << 32 | UInt64(tensor.rank))
            for axis in 1..<max(Int(tensor.rank), 1) { key = mix(key, UInt64(bitPattern: tensor.shape[axis])) }
            add(tensor.parameters, tensor.parameter_count)
        }
        for index in 0..<Int(payload.output_count) {
            key = mix(key, UInt64(payload.outputs[index].flags))
            add(payload.outputs[index].name)
            add(payload.outputs[index].parameters, payload.outputs[index].parameter_count)
        }
        add(payload.parameters, payload.parameter_count)
        return mix(key, UInt64(payload.flags))
    }

    static func mix(_ key: UInt64, _ value: UInt64) -> UInt64 {
        var mixed = (key ^ value) &* 0x9E37_79B9_7F4A_7C15
        mixed ^= mixed >> 29
        return mixed
    }

    // MARK: The home worker

    func enqueue(_ member: UnsafeMutablePointer<BatchMember>) {
        let pool = member.pointee.pool
        guard let batching = pool.pointee.batching else { return }
        var position = batching.pointee.groups.firstIndex { $0.key == member.pointee.key }
        // A key is a sum of what clients send, which they can choose to be equal: what is merged has to be alike.
        if let position, let first = batching.pointee.groups[position].queue.entries.first?.member,
            first.pointee.namesVersion != member.pointee.namesVersion
                || !PayloadLikeness.areAlike(first.pointee.block.payload.pointee, member.pointee.block.payload.pointee)
        {
            startBatch(pool, MemberList(member))
            return
        }
        if position == nil {
            guard batching.pointee.groups.count < PoolBatching.groupsAtMost else {
                startBatch(pool, MemberList(member))
                return
            }
            batching.pointee.addGroup(member.pointee.key, of: pool)
            position = batching.pointee.groups.count - 1
        }
        guard let position else { return }
        batching.pointee.groups[position].queue.add(
            BatchQueue.Entry(
                member: member, rows: member.pointee.rows, bytes: member.pointee.bytes,
                enqueued: member.pointee.enqueued, deadline: member.pointee.deadline))
        consult(pool, batching, key: member.pointee.key, byTimer: false)
    }

    /// Asks the batcher until it flushes no more.
    private func consult(
        _ pool: UnsafeMutablePointer<WorkerPool>, _ batching: UnsafeMutablePointer<PoolBatching>, key: UInt64,
        byTimer: Bool
    ) {
        while let position = batching.pointee.groups.firstIndex(where: { $0.key == key }) {
            let timer = UnsafeMutableRawPointer(batching.pointee.groups[position].timer)
                .assumingMemoryBound(to: TimerNode.self)
            guard !batching.pointee.groups[position].queue.isEmpty else { return removeGroup(position, batching) }
            var view = batching.pointee.groups[position].queue.view(
                now: now, maxRows: batching.pointee.maxRows, maxDelay: batching.pointee.maxDelayNs,
                inFlight: batching.pointee.inFlight)
            var decision = sluice_batch_decision(flush: 0, reserved: 0, timer_ns: .max)
            let table = batching.pointee.batcher.table
            let ask = byTimer ? table.pointee.on_timer : table.pointee.enqueue
            ask.unsafelyUnwrapped(batching.pointee.batcher.instance, &view, &decision)
            guard decision.flush > 0 else {
                // Rounded up: a timer never fires early. Whatever the plugin says, the sum must not wrap, nor may a
                // time that has passed bring it back in the same turn: that turn would not end.
                if decision.timer_ns != .max {
                    timers.start(timer, at: max(decision.timer_ns / 1_000_000 + 1, nowMs + 1))
                } else {
                    timers.stop(timer)
                }
                return
            }
            // A batch is one request, with the memory of one: more would fail all of its members.
            let maxRows = batching.pointee.maxRows
            let maxBytes = UInt64(pool.pointee.generation.pointee.limits.bodyBytes)
            var members = MemberList()
            batching.pointee.groups[position].queue.flush(decision.flush, maxRows: maxRows, maxBytes: maxBytes) {
                members.append($0.member)
            }
            startBatch(pool, members)
        }
    }

    /// An empty group goes at once: its timer must not run when the generation is gone.
    func removeGroup(_ position: Int, _ batching: UnsafeMutablePointer<PoolBatching>) {
        let timer = UnsafeMutableRawPointer(batching.pointee.groups[position].timer)
        timers.stop(timer.assumingMemoryBound(to: TimerNode.self))
        batching.pointee.removeGroup(position)
    }

    func batchTimerExpired(_ owner: UnsafeMutableRawPointer) {
        let timer = owner.assumingMemoryBound(to: BatchTimer.self)
        guard let batching = timer.pointee.pool.pointee.batching else { return }
        consult(timer.pointee.pool, batching, key: timer.pointee.key, byTimer: true)
    }

    /// Merges members and sends them as one exchange of this worker.
    func startBatch(_ pool: UnsafeMutablePointer<WorkerPool>, _ all: MemberList) {
        // An expired request never reaches a backend, as its own worker has answered it; nor does one that has left.
        var members = MemberList()
        for member in all {
            member.pointee.carrier = nil
            let isAwaited = member.pointee.deadline > now && !member.pointee.hasLeft
            if isAwaited { members.append(member) } else { discard(member) }
        }
        guard let first = members.first else { return }
        let rows = members.reduce(0) { $0 + $1.pointee.rows }
        for member in members { leavesQueue(member) }
        guard let exchange = beginOwnExchange(pool) else {
            for member in members {
                let reason = [UInt8]("too many batches in flight".utf8)
                reply(to: member, error: SLUICE_RESOURCE_EXHAUSTED, 503, reason, retryAfter: 1)
            }
            return
        }
        let batch = SharedBlocks.take(MemoryLayout<Batch>.stride).bindMemory(to: Batch.self, capacity: 1)
        batch.initialize(to: Batch(pool: pool, members: members, rows: rows))
        pool.pointee.batching?.pointee.inFlight &+= 1
        exchange.pointee.batch = batch
        exchange.pointee.batchRows = rows
        for member in members {
            member.pointee.carrier = exchange
            member.pointee.batchRows.store(rows, ordering: .relaxed)
        }
        metrics.batch(
            pool: PoolMetricsID(index: pool.pointee.shared.pointee.metrics), requests: UInt32(members.count),
            rows: rows)
        let deadline = members.reduce(0) { max($0, $1.pointee.deadline) }
        // Where all of its clients were hasty, the end of their time says nothing of the endpoint.
        exchange.pointee.callDeadline = members.reduce(0) { max($0, $1.pointee.callDeadline) }
        timers.start(exchange.timer, at: (deadline &+ 999_999) / 1_000_000)
        guard merge(exchange, first, members, rows, deadline) else {
            perform(exchange, failWithoutMemory(exchange))
            return
        }
        perform(exchange, exchange.pointee.machine.handle(.modelFiltersPassed(payloadNeeded: false)))
    }

    func merge(
        _ exchange: ExchangePointer, _ first: UnsafeMutablePointer<BatchMember>,
        _ members: MemberList, _ rows: UInt32, _ deadline: UInt64
    ) -> Bool {
        let model = first.pointee.block.payload.pointee
        let count = Int(model.tensor_count)
        guard let tensors = allocate(exchange, sluice_tensor.self, count) else { return false }
        for index in 0..<count {
            var tensor = model.tensors[index]
            var size = 0
            for member in members { size += member.pointee.block.payload.pointee.tensors[index].data.size }
            guard let data = allocate(exchange, UInt8.self, size),
                let shape = allocate(exchange, Int64.self, Int(tensor.rank))
            else { return false }
            var offset = 0
            for member in members {
                let part = member.pointee.block.payload.pointee.tensors[index].data
                if let bytes = part.data { (data + offset).update(from: bytes, count: part.size) }
                offset += part.size
            }
            shape.update(from: tensor.shape, count: Int(tensor.rank))
            shape[0] = Int64(rows)
            tensor.shape = UnsafePointer(shape)
            tensor.data = sluice_bytes(data, size)
            (tensors + index).initialize(to: tensor)
        }
        var payload = model
        payload.tensors = UnsafePointer(tensors)
        guard
            describeOwnRequest(
                exchange, SLUICE_OPERATION_INFER, namesVersion: first.pointee.namesVersion, deadline: deadline, payload)
        else { return false }
        // A batch is as urgent as its most urgent member.
        exchange.pointee.request?.pointee.priority = members.reduce(.max) { min($0, $1.pointee.priority) }
        return settleTenant(exchange, members) && setSharedFields(exchange, members)
    }
}
