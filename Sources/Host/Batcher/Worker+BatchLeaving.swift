import SluiceABI

/// Members whose client has left, or whose deadline has passed, and batches that nobody waits for any more.
extension Worker {
    /// The member's exchange waits no more. With a reference, which its home gives back.
    func leave(_ member: UnsafeMutablePointer<BatchMember>, _ homeWorker: Int) {
        guard homeWorker != index else { return memberLeft(UnsafeMutableRawPointer(member)) }
        peers[homeWorker].mailbox.send(.batchCancel, pointer: UnsafeMutableRawPointer(member), from: mailbox)
    }

    /// One that waits in the batcher is taken out. The rows of one that stands in a batch stay there, while somebody
    /// waits for the others: a merged request is not made a second time.
    func memberLeft(_ pointer: UnsafeMutableRawPointer) {
        let member = pointer.assumingMemoryBound(to: BatchMember.self)
        defer { member.release() }
        member.pointee.hasLeft = true
        if let carrier = member.pointee.carrier { return forsake(carrier) }
        // A reply may be on its way: then its pool knows nothing of it any more.
        guard let batching = member.pointee.pool.pointee.batching,
            let position = batching.pointee.groups.firstIndex(where: { $0.key == member.pointee.key })
        else { return }
        for entry in batching.pointee.groups[position].queue.remove(where: { $0 == member }) { discard(entry.member) }
        if batching.pointee.groups[position].queue.isEmpty { removeGroup(position, batching) }
    }

    private func forsake(_ carrier: ExchangePointer) {
        guard let batch = carrier.pointee.batch else { return }
        batch.pointee.awaited &-= 1
        guard batch.pointee.awaited == 0 else { return }
        // A member may leave in a walk over all exchanges, which must not lose one that is still to come.
        mailbox.send(.batchForsaken, value: token(of: carrier), from: mailbox)
    }

    /// As if it had a client, and that had left: from the scheduler's queue, or from its endpoint.
    func endForsaken(_ token: UInt64) {
        guard let exchange = exchange(of: token), let batch = exchange.pointee.batch, batch.pointee.awaited == 0,
            batch.pointee.members.count > 0
        else { return }
        batchDone(exchange, SLUICE_CANCELLED)
        let members = batch.pointee.members
        batch.pointee.members = MemberList()
        // Names and parameters of the merged request lie in its first member's memory.
        let isBorrowed = exchange.pointee.borrower >= 0
        if isBorrowed { exchange.pointee.payloadBlock = members.first?.pointee.block.memory }
        for (position, member) in members.enumerated() {
            if !isBorrowed || position > 0 { member.pointee.block.deallocate() }
            member.pointee.carrier = nil
            member.release()
        }
        perform(exchange, exchange.pointee.machine.handle(.clientGone))
    }
}
