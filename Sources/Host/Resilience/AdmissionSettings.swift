/// How requests wait for a pool. Times are nanoseconds.
public struct AdmissionSettings: Sendable, Equatable {
    /// What happens to a request for which there is no room. All three look at the priority that a request came with,
    /// not at what waiting made of it, and none drops a request for one of a lower priority.
    public enum FullPolicy: UInt8, Sendable, CaseIterable {
        /// The newcomer is refused.
        case reject
        /// The request leaves that has waited longest of those whose priority is not above the newcomer's: its client
        /// is the likeliest to have given up.
        case dropOldest
        /// The request leaves that came last of the lowest priority, if that is below the newcomer's.
        case dropLowest
    }

    /// Requests that may wait. A thousand wait for seconds even for a pool that answers hundreds in each. 1 to a
    /// million, of some 200 bytes each.
    public var capacity = 1024
    /// A request gains a level for each such time that it waits; 0 gains none, and then the lower priorities may
    /// starve.
    public var ageing: UInt64 = 1_000_000_000
    public var fullPolicy = FullPolicy.reject
    /// Tenants that are told apart at the same time, rounded up to a power of two; what is beyond shares places with
    /// others. Each takes 640 bytes. 1 to 4096.
    public var tenants = 64

    public static let priorities = 10
    public static let capacityBound = 1_000_000
    public static let tenantBound = 4096

    public init() {}
}

/// A request that waits, or its part that a queue needs to know. Trivial; `token` and `worker` are the caller's.
public struct AdmissionEntry: Sendable, Equatable {
    public var token: UInt64
    public var worker: UInt32
    /// 0 the highest; 9 the lowest, which is what anything above is taken for.
    public var priority: UInt8
    /// Share among tenants of one priority, relative to the others', 1 to 1000.
    public var weight: UInt32
    /// A hash of the tenant; those without one are all the tenant 0.
    public var tenant: UInt64
    /// When it is too late; `.max` when never.
    public var deadline: UInt64
    /// When it began to wait, which orders it among its tenant's. Not after the time at which it is queued.
    public var waitingSince: UInt64

    public init(
        token: UInt64, worker: UInt32 = 0, priority: UInt8, tenant: UInt64 = 0, weight: UInt32 = 1,
        deadline: UInt64 = .max, waitingSince: UInt64
    ) {
        self.token = token
        self.worker = worker
        self.priority = min(priority, 9)
        self.weight = min(max(weight, 1), 1000)
        self.tenant = tenant
        self.deadline = deadline
        self.waitingSince = waitingSince
    }
}

/// A place in one queue, for `remove`; of a request that has left, it is known as such. Never 0.
public struct AdmissionHandle: Sendable, Equatable {
    public let bits: UInt64

    public init(bits: UInt64) { self.bits = bits }

    /// Of a request that is in no queue: none gives it, and `remove` finds nothing by it.
    public static var none: AdmissionHandle { AdmissionHandle(bits: 0) }
}

public enum AdmissionPush: Sendable, Equatable {
    case queued(AdmissionHandle)
    /// It has taken the place of a request that is to be refused, or, when `isExpired`, whose deadline had passed.
    case displaced(AdmissionHandle, AdmissionEntry, isExpired: Bool)
    /// There is no room.
    case refused
}

public enum AdmissionTake: Sendable, Equatable {
    case empty
    case next(AdmissionEntry)
    /// Its deadline has passed: it must not go anywhere. Ask again.
    case expired(AdmissionEntry)
}
