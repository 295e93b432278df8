import SluiceABI

/// How a request, or the copy of it, ended.
@frozen
public struct ShadowEnd {
    @usableFromInline let end: sluice_shadow_end

    @inlinable init(_ end: sluice_shadow_end) { self.end = end }

    /// Nil: a whole answer came.
    @inlinable public var error: ErrorCode? { end.status < 0 ? ErrorCode(status: end.status) : nil }
    /// 0: no answer.
    @inlinable public var httpStatus: UInt32 { end.http_status }
    /// Nanoseconds from the begin of the last attempt, or from the request's last byte where that came later; 0: no
    /// byte came.
    @inlinable public var firstByte: UInt64 { end.first_byte_ns }
    /// Nanoseconds from the begin of the last attempt to the end.
    @inlinable public var total: UInt64 { end.total_ns }
    /// Of the body as the endpoint sent it; nil: it was not compared, or there is none.
    @inlinable public var bodyHash: UInt64? { end.body_hash == 0 ? nil : end.body_hash }
    @inlinable public var bodySize: UInt64 { end.body_size }
}

/// A request and its copy when both have ended.
@frozen
public struct ShadowOutcome {
    public let original: ShadowEnd
    public let copy: ShadowEnd

    @inlinable
    init(_ outcome: sluice_shadow_outcome) {
        original = ShadowEnd(outcome.original)
        copy = ShadowEnd(outcome.copy)
    }
}

/// Why a request was not copied.
@frozen
public enum ShadowRefusal: Error {
    /// Its body is not at hand whole.
    case body
    /// There are as many copies under way as the gateway allows, or no memory.
    case exhausted
    /// It has a copy already, cannot be copied, or there is no such pool.
    case unfit
    /// The gateway is older than copies.
    case unknown
}

/// Sends copies of requests to other pools, and hears how they ended. Kept in the plugin's struct; it lives as long as
/// the instance, and no instance is destroyed before its copies have ended.
public final class Shadows {
    /// What is called for each copy that was sent, on the worker that sent it, and never inside a call to the plugin.
    private let ended: (Int, ShadowOutcome) -> Void
    private let copyEnded: ((Int) -> Void)?
    private let tags: UnsafeMutablePointer<Tag>
    private let tagCount: Int

    /// What stands behind the `user` of a copy: whose it is.
    private struct Tag {
        var shadows: Unmanaged<Shadows>
        var number: Int
    }

    /// - Parameters:
    ///   - kinds: copies are told apart by numbers below that.
    ///   - copyEnded: the number of a copy that has ended, always before `ended` of the same one; its request may go on
    ///     for hours. A gateway older than that never calls it.
    ///   - ended: the number of a copy, and what became of it and of its request.
    public init(
        kinds: Int, copyEnded: ((Int) -> Void)? = nil, _ ended: @escaping (Int, ShadowOutcome) -> Void
    ) {
        self.ended = ended
        self.copyEnded = copyEnded
        tagCount = kinds
        tags = .allocate(capacity: max(kinds, 1))
        for number in 0..<kinds {
            (tags + number).initialize(to: Tag(shadows: Unmanaged.passUnretained(self), number: number))
        }
    }

    deinit { tags.deallocate() }

    /// Sends a copy of the request to a pool, beside whatever becomes of the request itself. Legal inside
    /// `Router.route`; allocates nothing.
    /// - Parameters:
    ///   - kind: a number below `kinds`, given back when it has ended.
    ///   - field: set in the copy, in place of fields of that name.
    ///   - timeout: nanoseconds from now on.
    ///   - comparesBodies: the hash of both bodies is told.
    public func send(
        _ kind: Int, of exchange: Exchange, to pool: UInt32, field: (name: KeptText, value: KeptText), timeout: UInt64,
        comparesBodies: Bool
    ) throws(ShadowRefusal) {
        guard let table = exchange.services.pointee.shadow else { throw .unknown }
        let status = field.name.withBytes { name in
            field.value.withBytes { value in
                var mark = sluice_field(name: name.raw, value: value.raw)
                return withUnsafePointer(to: &mark) { mark in
                    var copy = sluice_shadow_copy()
                    copy.pool = pool
                    copy.flags = comparesBodies ? SLUICE_SHADOW_COMPARE_BODIES : 0
                    if copyEnded != nil { copy.flags |= SLUICE_SHADOW_TELL_COPY }
                    copy.timeout_ns = timeout
                    copy.fields = mark
                    copy.field_count = 1
                    copy.user = UnsafeMutableRawPointer(tags + kind)
                    copy.done = { user, outcome in Shadows.ended(user, outcome) }
                    return table.pointee.send.unsafelyUnwrapped(
                        exchange.services.pointee.context, exchange.handle, &copy)
                }
            }
        }
        switch status {
        case SLUICE_OK: return
        case SLUICE_FAILED_PRECONDITION: throw .body
        case SLUICE_RESOURCE_EXHAUSTED: throw .exhausted
        default: throw .unfit
        }
    }

    private static func ended(_ user: UnsafeMutableRawPointer?, _ outcome: UnsafePointer<sluice_shadow_outcome>?) {
        guard let tag = user?.assumingMemoryBound(to: Tag.self).pointee, let outcome else { return }
        let shadows = tag.shadows.takeUnretainedValue()
        if outcome.pointee.original.status == SLUICE_PENDING {
            shadows.copyEnded?(tag.number)
            return
        }
        shadows.ended(tag.number, ShadowOutcome(outcome.pointee))
    }
}
