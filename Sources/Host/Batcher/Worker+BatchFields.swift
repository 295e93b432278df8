import HTTP1
import SluiceABI

/// What the request of a batch has of its members' beside their tensors: the fields that the gateway has set in all of
/// them, and a tenant.
extension Worker {
    /// Fields that filters and routers have set in the request; nil without memory. A client's own are its alone.
    func fieldsForBatch(_ exchange: ExchangePointer) -> UnsafeBufferPointer<sluice_field>? {
        guard let list = exchange.pointee.edits else { return UnsafeBufferPointer(start: nil, count: 0) }
        guard let fields = allocate(exchange, sluice_field.self, list.pointee.count) else { return nil }
        var count = 0
        for index in 0..<list.pointee.count where isInForce(list, index, SLUICE_SIDE_REQUEST) {
            let edit = list.pointee.edits[index]
            (fields + count).initialize(to: sluice_field(name: edit.name, value: edit.value))
            count += 1
        }
        return UnsafeBufferPointer(start: fields, count: count)
    }

    /// Sets in the batch's request what was set in all of its members alike: what one alone has is not the others' to
    /// send. False without memory.
    func setSharedFields(_ exchange: ExchangePointer, _ members: MemberList) -> Bool {
        guard let first = members.first?.pointee.block.fields else { return true }
        for (position, field) in first.enumerated() {
            let isShared = members.allSatisfy { Self.has($0.pointee.block.fields, field, position) }
            guard isShared else { continue }
            // The first of a name takes the place of what the protocol sets, others stand beside it. A value without a
            // place would take the field away.
            let adds = isEdited(exchange, field.name, SLUICE_SIDE_REQUEST)
            let value = field.value.isEmpty ? sluice_bytes("") : field.value
            guard edit(exchange, UInt32(SLUICE_SIDE_REQUEST), field.name, value, adds: adds) == SLUICE_OK else {
                return false
            }
        }
        return true
    }

    /// Mostly they stand in the same order.
    private static func has(
        _ fields: UnsafeBufferPointer<sluice_field>, _ field: sluice_field, _ position: Int
    ) -> Bool {
        func isSame(_ other: sluice_field) -> Bool {
            other.value == field.value && other.name.equalsIgnoringCase(field.name)
        }
        return position < fields.count && isSame(fields[position]) || fields.contains(where: isSame)
    }

    /// A batch waits in the turn of its member whose tenant has the greatest weight, as it is as urgent as its most
    /// urgent one. Plugins are told of a tenant that is all members'. False without memory.
    func settleTenant(_ exchange: ExchangePointer, _ members: MemberList) -> Bool {
        guard let batch = exchange.pointee.batch, let first = members.first else { return true }
        var favoured = first.pointee.block.tenant
        var isOfAll = true
        if members.count > 1 {
            let queue = batch.pointee.pool.pointee.queue
            var weight = queue.pointee.weight(of: favoured)
            for member in members where !(member.pointee.block.tenant == first.pointee.block.tenant) {
                isOfAll = false
                let other = queue.pointee.weight(of: member.pointee.block.tenant)
                if other > weight { (favoured, weight) = (member.pointee.block.tenant, other) }
            }
        }
        guard !favoured.isEmpty else { return true }
        guard let tenant = copy(exchange, favoured) else { return false }
        batch.pointee.tenant = tenant
        if isOfAll { exchange.pointee.request?.pointee.tenant = tenant }
        return true
    }
}
