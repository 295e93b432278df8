import CLinux
import Glibc
import HTTP1
import SluiceABI

/// What plugins ask of the worker they run on, through the host services.
extension Worker {
    func setFailure(_ message: sluice_bytes) {
        let kept = message.cut(atMost: Self.failureBound)
        failureSize = kept.size
        if let data = kept.data { failure.update(from: data, count: kept.size) }
    }

    /// Keeps a counted buffer for as long as the exchange lives. Where the arena has come to its bound, too: the plugin
    /// is not told, and what it sends points into the buffer. The entry is a few bytes beside the buffer, and all
    /// buffers together have a bound.
    func adopt(_ exchange: ExchangePointer, _ buffer: UnsafeMutablePointer<sluice_buffer>) {
        let place = allocate(exchange, AdoptedBuffer.self, 1)
        let entry = place ?? .allocate(capacity: 1)
        entry.initialize(
            to: AdoptedBuffer(isApart: place == nil, buffer: buffer, previous: exchange.pointee.adopted))
        exchange.pointee.adopted = entry
    }

    func releaseCounted(_ exchange: ExchangePointer) {
        var next = exchange.pointee.adopted
        while let entry = next {
            next = entry.pointee.previous
            CountedBuffers.release(entry.pointee.buffer)
            if entry.pointee.isApart { entry.deallocate() }
        }
    }

    // MARK: Fields

    func edit(
        _ exchange: ExchangePointer, _ side: UInt32, _ name: sluice_bytes, _ value: sluice_bytes, adds: Bool = false
    ) -> sluice_status {
        guard maySet(side, name, value, adds: adds) else { return SLUICE_INVALID_ARGUMENT }
        guard let list = editList(exchange), list.pointee.ofPlugins < FieldEdits.bound,
            let nameCopy = copy(exchange, name), let valueCopy = copy(exchange, value)
        else { return SLUICE_RESOURCE_EXHAUSTED }
        let kept = value.data == nil ? sluice_bytes.empty : valueCopy
        (list.pointee.edits + list.pointee.count).initialize(
            to: FieldEdits.Edit(name: nameCopy, value: kept, side: side, adds: adds))
        list.pointee.count += 1
        return SLUICE_OK
    }

    /// The exchange's edits, which begin with the first; nil without memory.
    private func editList(_ exchange: ExchangePointer) -> UnsafeMutablePointer<FieldEdits>? {
        if let list = exchange.pointee.edits { return list }
        guard let list = allocate(exchange, FieldEdits.self, 1),
            let room = allocate(exchange, FieldEdits.Edit.self, FieldEdits.room)
        else { return nil }
        list.initialize(to: FieldEdits(edits: room))
        exchange.pointee.edits = list
        return list
    }

    /// Sets the gateway's own field of the response, in place of the one that it has set before. False without memory.
    /// One that could not be written, such as a model's name of several lines, is left out. The field's bytes are the
    /// generation's.
    func setOwnField(_ exchange: ExchangePointer, _ field: sluice_field) -> Bool {
        removeOwnField(exchange)
        guard HeadWriter.mayBeSet(name: field.name, value: field.value) else { return true }
        guard let list = editList(exchange) else { return false }
        list.pointee.own = list.pointee.count
        (list.pointee.edits + list.pointee.count).initialize(
            to: FieldEdits.Edit(name: field.name, value: field.value, side: UInt32(SLUICE_SIDE_RESPONSE), adds: false))
        list.pointee.count += 1
        return true
    }

    func removeOwnField(_ exchange: ExchangePointer) {
        guard let list = exchange.pointee.edits, list.pointee.own >= 0 else { return }
        let behind = list.pointee.edits + list.pointee.own + 1
        // The others stay in their order, by which they count.
        (behind - 1).update(from: behind, count: list.pointee.count - list.pointee.own - 1)
        list.pointee.count -= 1
        list.pointee.own = -1
    }

    /// Takes away what filters have made for an answer that nobody gets.
    func forgetEdits(_ exchange: ExchangePointer) {
        let count = Int(exchange.pointee.editsBeforeAnswer)
        exchange.pointee.editsBeforeAnswer = Exchange.keepsEdits
        if count >= 0, let list = exchange.pointee.edits { list.pointee.count = min(list.pointee.count, count) }
    }

    func maySet(_ side: UInt32, _ name: sluice_bytes, _ value: sluice_bytes, adds: Bool) -> Bool {
        guard side == UInt32(SLUICE_SIDE_REQUEST) || side == UInt32(SLUICE_SIDE_RESPONSE),
            HeadWriter.mayBeSet(name: name, value: value)
        else { return false }
        guard side == UInt32(SLUICE_SIDE_REQUEST), name.equalsIgnoringCase(sluice_bytes("Host")) else { return true }
        return !adds && HeadWriter.mayBeHost(value)
    }

    /// Whether a field of that name was set or removed on that side.
    func isEdited(_ exchange: ExchangePointer, _ name: sluice_bytes, _ side: Int32) -> Bool {
        guard let list = exchange.pointee.edits else { return false }
        for index in 0..<list.pointee.count {
            let edit = list.pointee.edits[index]
            if edit.side == UInt32(side), edit.hidesOriginal, edit.name.equalsIgnoringCase(name) { return true }
        }
        return false
    }

    /// `mask` and all fields that edits replace.
    func maskEdited(
        _ exchange: ExchangePointer, _ section: FieldSection, _ mask: FieldMask, _ side: Int32
    ) -> FieldMask {
        var mask = mask
        for index in 0..<section.count where isEdited(exchange, section[index].name, side) { mask.insert(index) }
        return mask
    }

    /// Writes the fields that were set or added; what was set or removed last takes the place of all edits of that name
    /// before it.
    func appendEdits(_ exchange: ExchangePointer, _ side: Int32, _ writer: inout HeadWriter) {
        guard let list = exchange.pointee.edits else { return }
        for index in 0..<list.pointee.count {
            guard isInForce(list, index, side) else { continue }
            let edit = list.pointee.edits[index]
            writer.appendField(sluice_field(name: edit.name, value: edit.value))
        }
    }

    /// Whether an edit sets or adds a field of that side, and no later one takes its place.
    func isInForce(_ list: UnsafeMutablePointer<FieldEdits>, _ index: Int, _ side: Int32) -> Bool {
        let edit = list.pointee.edits[index]
        guard edit.side == UInt32(side), edit.value.data != nil else { return false }
        for later in (index + 1)..<max(list.pointee.count, index + 1)
        where list.pointee.edits[later].side == edit.side && !list.pointee.edits[later].adds
            && list.pointee.edits[later].name.equalsIgnoringCase(edit.name)
        {
            return false
        }
        return true
    }

    // MARK: Routing

    /// What sticky decisions hash from here on.
    func setSession(_ exchange: ExchangePointer, _ session: sluice_bytes) -> sluice_status {
        guard let request = exchange.pointee.request, let kept = copy(exchange, session) else {
            return SLUICE_RESOURCE_EXHAUSTED
        }
        request.pointee.session = kept
        return SLUICE_OK
    }

    /// Attempts under way on the endpoints of a pool, over all workers.
    func inFlight(_ exchange: ExchangePointer, pool index: UInt32) -> UInt32 {
        guard let tables = exchange.pointee.generation, index < UInt32(tables.pointee.poolCount) else { return 0 }
        let pool = tables.pointee.pools + Int(index)
        var sum: UInt32 = 0
        for endpoint in 0..<pool.pointee.endpointCount {
            // `in_flight` is the first field of the load, which its own function reads.
            let load = UnsafeRawPointer(pool.pointee.endpoints[endpoint].load.unsafelyUnwrapped)
            sum &+= sluice_load_u32(load.assumingMemoryBound(to: UInt32.self))
        }
        return sum
    }

    // MARK: Timers

    func arm(_ timer: UnsafeMutablePointer<PluginTimer>) {
        // UINT64_MAX is how a plugin says "never": that must not come round to a time that has passed.
        let (due, overflow) = clinux_monotonic_ns().addingReportingOverflow(timer.pointee.delay)
        timers.start(timer.node, at: (overflow ? .max : due) / 1_000_000 &+ 1)
    }

    func disarm(_ timer: UnsafeMutablePointer<PluginTimer>) { timers.stop(timer.node) }

    /// Another worker has started a timer of an instance that both share, or cancels one. Its generation is there: what
    /// workers send comes before they say that they have left it, and nobody frees it before that.
    func receiveTimer(_ pointer: UnsafeMutableRawPointer) {
        let timer = pointer.assumingMemoryBound(to: PluginTimer.self)
        let id = timer.pointee.id
        timer.pointee.context._withUnsafeGuaranteedRef { $0.timers[id] = timer }
        arm(timer)
    }

    func receiveCancel(_ pointer: UnsafeMutableRawPointer, timer: UInt64) {
        Unmanaged<InstanceContext>.fromOpaque(pointer)._withUnsafeGuaranteedRef { $0.cancelTimer(timer, of: self) }
    }

    func pluginTimerExpired(_ owner: UnsafeMutableRawPointer) {
        let timer = owner.assumingMemoryBound(to: PluginTimer.self)
        let value = timer.pointee
        value.context._withUnsafeGuaranteedRef { _ = $0.forgetTimer(value.id) }
        timer.deallocate()
        value.fire(value.user)
    }

    func startPluginTimers(_ tables: UnsafeMutablePointer<WorkerGeneration>) {
        for context in tables.pointee.contexts?.takeUnretainedValue().all ?? [] {
            for timer in context.timers.values where !timer.pointee.node.isRunning { arm(timer) }
        }
    }

    /// - Parameter shared: those of instances that other workers may still use, or those of the worker's own.
    func stopPluginTimers(_ tables: UnsafeMutablePointer<WorkerGeneration>, shared: Bool) {
        let contexts = tables.pointee.contexts?.takeUnretainedValue().all ?? []
        for context in contexts where (context.workerIndex == nil) == shared {
            for timer in context.timers.values {
                disarm(timer)
                timer.deallocate()
            }
            context.timers = [:]
        }
    }
}

/// The instances of a generation that one worker calls.
final class InstanceContexts {
    /// Those whose timers fire on it: its own, and of the first worker those that all share.
    let all: [InstanceContext]
    private let shared: [InstanceContext]

    init(_ all: [InstanceContext], shared: [InstanceContext]) {
        self.all = all
        self.shared = shared
    }

    /// Any instance of the plugin, for its name.
    func context(of plugin: Int32) -> InstanceContext? {
        all.first { $0.pluginID == plugin } ?? shared.first { $0.pluginID == plugin }
    }
}
