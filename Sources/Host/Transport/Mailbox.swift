import CLinux
import Glibc
import Synchronization

/// What crosses from one thread to a worker. The receiver owns the message and what it carries.
struct Message {
    enum Kind: UInt8 {
        /// `pointer`: the `WorkerGeneration` to take over.
        case generation
        /// `value`: the token of an exchange whose suspension ends; `pointer`: the context of the instance that says
        /// so, which may be gone by now.
        case resume
        /// `pointer`: a `BatchMember` for its home worker.
        case batchMember
        /// `pointer`: a `BatchMember` with its reply, for its worker.
        case batchReply
        /// `pointer`: a `BatchMember` whose exchange waits no more, with a reference to it.
        case batchCancel
        /// `value`: the token of an exchange that carries a batch of which all members have left.
        case batchForsaken
        /// `pointer`: a `QueuePlace` that enters the queue of its pool, leaves it, or comes back with a verdict.
        case queueEnter, queueLeave, queueVerdict
        /// `pointer`: a `SharedPool` of which this is the home worker, and which has something to hand on.
        case poolServe
        /// `pointer`: a `SharedPool` of which this is the home worker; `value`: the `id` of an endpoint that has
        /// failed as often in a row as the pool allows.
        case failedInARow
        /// Stop accepting, end what is under way, leave.
        case drain
        /// `value`: the listener to stop accepting on and close.
        case closeListener
        /// `pointer`: a `WorkerListener` to add.
        case openListener
        /// Close idle connections and ask streams to end: the drain's time is over.
        case abort
        /// `value`: the number of an old generation whose exchanges have had their time.
        case expire
        /// `value`: the number of an old generation whose instances are destroyed: nobody looks at its exchanges.
        case instancesGone
        /// `pointer`: an `EndpointUpdate` for a pool of the present generation.
        case endpoints
        /// `pointer`: a `PluginTimer` that another worker has started for an instance that both share.
        case startTimer
        /// `pointer`: the `InstanceContext` of such an instance; `value`: the timer that is not to fire.
        case cancelTimer
        /// `pointer`: the `WorkerGeneration` that every worker has left; instances that were shared have timers still.
        case stopTimers
        /// `pointer`: an `EndpointFarewell` to an endpoint that nothing names any more.
        case farewell
        /// `pointer`: a `SnapshotRequest` to fill in.
        case snapshot
    }

    var next: UnsafeMutablePointer<Message>?
    var kind: Kind
    var value: UInt64
    var pointer: UnsafeMutableRawPointer?
}

/// Many producers, one consumer: a stack that is taken whole and turned around, and an eventfd that is written only
/// when the mailbox was empty, so that a burst costs one wake-up (R. K. Treiber, 1986).
///
/// Not bounded by itself: what is sent is bounded by exchanges in flight, by generations, and by changes of endpoints,
/// which the control thread makes no faster than a turn of its loop.
final class Mailbox: @unchecked Sendable {
    let descriptor: Int32
    private let top: UnsafeMutablePointer<Atomic<UInt>>
    /// What the owner has received and will send again: a request that waits at another worker's queue costs two
    /// messages, and each of the two workers sends about as many as it receives.
    private var spare: UnsafeMutablePointer<Message>?
    private(set) var spares = 0
    /// 40 KiB. That many requests that wait at another worker at one time come and go without an allocation.
    static let sparesAtMost = 1_024

    init?() {
        descriptor = eventfd(0, Int32(EFD_CLOEXEC | EFD_NONBLOCK))
        guard descriptor >= 0 else { return nil }
        top = .allocate(capacity: 1)
        top.initialize(to: Atomic(0))
    }

    deinit {
        // What nobody received: the messages alone, for whose what they point to is was for the receiver to know.
        for first in [receive(), spare] {
            var left = first
            while let message = left {
                left = message.pointee.next
                message.deallocate()
            }
        }
        close(descriptor)
        top.deinitialize(count: 1)
        top.deallocate()
    }

    /// Any thread. `sender`: the mailbox that this thread owns, whose spare messages are used first; nil for none.
    func send(
        _ kind: Message.Kind, value: UInt64 = 0, pointer: UnsafeMutableRawPointer? = nil, from sender: Mailbox? = nil
    ) {
        let message = sender?.takeSpare() ?? .allocate(capacity: 1)
        message.initialize(to: Message(next: nil, kind: kind, value: value, pointer: pointer))
        let address = UInt(bitPattern: message)
        var seen = top.pointee.load(ordering: .relaxed)
        while true {
            message.pointee.next = UnsafeMutablePointer(bitPattern: seen)
            let result = top.pointee.weakCompareExchange(
                expected: seen, desired: address, successOrdering: .acquiringAndReleasing, failureOrdering: .relaxed)
            if result.exchanged { break }
            seen = result.original
        }
        if seen == 0 {
            var one: UInt64 = 1
            _ = write(descriptor, &one, 8)
        }
    }

    private func takeSpare() -> UnsafeMutablePointer<Message>? {
        guard let message = spare else { return nil }
        spare = message.pointee.next
        spares -= 1
        return message
    }

    /// The owner alone: a message that it has received and dealt with.
    func giveBack(_ message: UnsafeMutablePointer<Message>) {
        guard spares < Self.sparesAtMost else { return message.deallocate() }
        message.pointee.next = spare
        spare = message
        spares += 1
    }

    /// The owner alone. All messages sent so far, the oldest first, as a chain of which each is given back.
    func receive() -> UnsafeMutablePointer<Message>? {
        var count: UInt64 = 0
        _ = read(descriptor, &count, 8)
        var taken = UnsafeMutablePointer<Message>(
            bitPattern: top.pointee.exchange(0, ordering: .acquiringAndReleasing))
        var oldest: UnsafeMutablePointer<Message>?
        while let message = taken {
            taken = message.pointee.next
            message.pointee.next = oldest
            oldest = message
        }
        return oldest
    }
}
