import SluiceABI

/// Copies that plugins asked a fake host for. The test says how each ends.
final class FakeShadows {
    struct Copy {
        var pool: UInt32
        var flags: UInt32
        var timeout: UInt64
        var fields: [String: String]
        var done: (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<sluice_shadow_outcome>?) -> Void)?
        var user: UnsafeMutableRawPointer?
    }

    /// What `send` answers.
    var status = SLUICE_OK
    private(set) var copies: [Copy] = []

    static func table() -> sluice_shadow_service {
        sluice_shadow_service(
            struct_size: UInt32(MemoryLayout<sluice_shadow_service>.size), reserved: 0,
            send: { context, _, copy in
                guard let copy = copy?.pointee else { return SLUICE_INVALID_ARGUMENT }
                let shadows = FakeHost.of(context).shadows
                guard shadows.status == SLUICE_OK else { return shadows.status }
                var fields: [String: String] = [:]
                for field in UnsafeBufferPointer(start: copy.fields, count: Int(copy.field_count)) {
                    fields[text(field.name)] = text(field.value)
                }
                shadows.copies.append(
                    Copy(
                        pool: copy.pool, flags: copy.flags, timeout: copy.timeout_ns, fields: fields, done: copy.done,
                        user: copy.user))
                return SLUICE_OK
            })
    }

    /// The oldest copy has ended, and its original has not. A gateway tells of that before it tells of both.
    func endCopy(_ copy: sluice_shadow_end) {
        let ended = copies[0]
        var outcome = sluice_shadow_outcome()
        outcome.original.status = SLUICE_PENDING
        outcome.copy = copy
        ended.done?(ended.user, &outcome)
    }

    /// The oldest copy and its original have ended.
    func end(_ original: sluice_shadow_end, _ copy: sluice_shadow_end) {
        let ended = copies.removeFirst()
        var outcome = sluice_shadow_outcome(original: original, copy: copy)
        ended.done?(ended.user, &outcome)
    }
}
