/// A timer, embedded in what it times; linked into one slot of a wheel while it runs.
struct TimerNode {
    var next: UnsafeMutablePointer<TimerNode>?
    var previous: UnsafeMutablePointer<TimerNode>?
    /// When it fires, in milliseconds of the wheel's clock.
    var deadline: UInt64 = 0
    /// Index of the list that holds it; `notRunning` when none does.
    var list: UInt16 = TimerNode.notRunning
    /// What it times, for whoever handles it.
    var kind: UInt8 = 0
    var owner: UnsafeMutableRawPointer?

    static let notRunning = UInt16.max
    var isRunning: Bool { list != Self.notRunning }
}

/// A hierarchical timing wheel (G. Varghese, T. Lauck: Hashed and Hierarchical Timing Wheels, SOSP 1987) with a
/// resolution of a millisecond: start and stop in constant time, and the next deadline found by bit scans.
///
/// A pure machine under the clock that its owner gives it. The first level has 256 slots of 1 ms, the three above 64
/// slots each of 256 ms, 16.4 s and 17.5 min: 18.6 hours ahead; what is later waits in the last slot and is sorted
/// in again. A timer never fires early.
struct TimerWheel: ~Copyable {
    private static let firstSlots = 256
    private static let upperSlots = 64
    private static let listCount = firstSlots + 3 * upperSlots

    /// Heads of circular lists.
    private let heads: UnsafeMutablePointer<TimerNode>
    /// One bit a list, set when it is not empty.
    private let occupied: UnsafeMutablePointer<UInt64>
    /// All deadlines up to here have fired.
    private(set) var now: UInt64
    private(set) var count = 0
    /// Nothing is due before this time; `UInt64.max` when nothing runs. A bound, not the exact time: starting a timer
    /// lowers it, and it is found anew only when it has passed, so that a turn of the loop costs a comparison.
    private(set) var earliest = UInt64.max

    init(now: UInt64) {
        self.now = now
        heads = .allocate(capacity: Self.listCount)
        occupied = .allocate(capacity: Self.listCount / 64)
        occupied.initialize(repeating: 0, count: Self.listCount / 64)
        for index in 0..<Self.listCount {
            (heads + index).initialize(to: TimerNode(next: heads + index, previous: heads + index))
        }
    }

    deinit {
        heads.deallocate()
        occupied.deallocate()
    }

    /// Starts `timer`, or moves it when it runs. A deadline that has passed fires at the next `advance`.
    mutating func start(_ timer: UnsafeMutablePointer<TimerNode>, at deadline: UInt64) {
        if timer.pointee.isRunning { unlink(timer) } else { count &+= 1 }
        timer.pointee.deadline = deadline
        if deadline < earliest { earliest = deadline }
        link(timer)
    }

    mutating func stop(_ timer: UnsafeMutablePointer<TimerNode>) {
        guard timer.pointee.isRunning else { return }
        unlink(timer)
        count &-= 1
    }

    /// The next timer whose deadline is not after `time`, stopped; nil when there is none left. Call until nil.
    @inline(__always)
    mutating func expire(at time: UInt64) -> UnsafeMutablePointer<TimerNode>? {
        earliest <= time ? expireDue(at: time) : nil
    }

    private mutating func expireDue(at time: UInt64) -> UnsafeMutablePointer<TimerNode>? {
        while true {
            // Whatever is in the slot of the present millisecond is due.
            let slot = Int(truncatingIfNeeded: now) & (Self.firstSlots - 1)
            if isOccupied(slot), let timer = heads[slot].next {
                unlink(timer)
                count &-= 1
                return timer
            }
            guard now < time else {
                earliest = wait.map { now + $0 } ?? .max
                return nil
            }
            step(to: time)
        }
    }

    /// Milliseconds from `now` until something may be due, or nil when nothing runs. It may be early for far timers,
    /// never late.
    var wait: UInt64? {
        guard count > 0 else { return nil }
        let slot = Int(truncatingIfNeeded: now) & (Self.firstSlots - 1)
        var soonest = UInt64.max
        if let distance = nextDistance(firstList: 0, slots: Self.firstSlots, from: slot) { soonest = UInt64(distance) }
        // A timer of an upper level may have come nearer than one put into the first level since: ask all.
        for level in 1...3 {
            let shift = UInt64(8 + 6 * (level - 1))
            let position = Int(truncatingIfNeeded: now >> shift) & (Self.upperSlots - 1)
            let first = Self.firstSlots + (level - 1) * Self.upperSlots
            // The slot of the present position holds what is a whole turn away.
            if let distance = nextDistance(firstList: first, slots: Self.upperSlots, from: (position + 1) & 63) {
                soonest = min(soonest, (((now >> shift) + UInt64(distance) + 1) << shift) - now)
            }
        }
        return soonest
    }

    /// Moves `now` forward to the next millisecond that may have something to do, at most to `time`.
    private mutating func step(to time: UInt64) {
        let boundary = (now | 255) + 1
        let slot = Int(truncatingIfNeeded: now) & (Self.firstSlots - 1)
        if slot < 255, let next = nextSet(firstList: 0, from: slot + 1, to: 256) {
            let candidate = (now & ~255) + UInt64(next)
            now = min(candidate, time)
            return
        }
        if boundary > time {
            now = time
            return
        }
        // Turns with nothing to fire or to sort in are passed in one step: after an idle night there are 100,000.
        now = min(wait.map { now + $0 } ?? time, time)
        if now & 255 == 0 { cascade(level: 1) }
    }

    /// At a turn of the level below, sorts the slot that begins now into the levels below.
    private mutating func cascade(level: Int) {
        let shift = UInt64(8 + 6 * (level - 1))
        let position = Int(truncatingIfNeeded: now >> shift) & (Self.upperSlots - 1)
        if position == 0, level < 3 { cascade(level: level + 1) }
        let list = Self.firstSlots + (level - 1) * Self.upperSlots + position
        guard isOccupied(list) else { return }
        // Timers of a whole turn later go back into the same list: take it off first.
        let head = heads + list
        guard let first = head.pointee.next, let last = head.pointee.previous else { return }
        head.pointee.next = head
        head.pointee.previous = head
        occupied[list >> 6] &= ~(1 << UInt64(list & 63))
        last.pointee.next = nil
        var next: UnsafeMutablePointer<TimerNode>? = first
        while let timer = next {
            next = timer.pointee.next
            link(timer)
        }
    }

    // Both change nothing of the wheel itself, and are `mutating` all the same: else each call would copy the wheel.
    private mutating func link(_ timer: UnsafeMutablePointer<TimerNode>) {
        let deadline = max(timer.pointee.deadline, now)
        let distance = deadline - now
        let list: Int
        if distance < 256 {
            list = Int(truncatingIfNeeded: deadline) & 255
        } else if (deadline >> 8) - (now >> 8) < 64 {
            list = Self.firstSlots + (Int(truncatingIfNeeded: deadline >> 8) & 63)
        } else if (deadline >> 14) - (now >> 14) < 64 {
            list = Self.firstSlots + Self.upperSlots + (Int(truncatingIfNeeded: deadline >> 14) & 63)
        } else {
            let capped = min(deadline >> 20, (now >> 20) + 63)
            list = Self.firstSlots + 2 * Self.upperSlots + (Int(truncatingIfNeeded: capped) & 63)
        }
        let head = heads + list
        let last = head.pointee.previous.unsafelyUnwrapped
        timer.pointee.list = UInt16(truncatingIfNeeded: list)
        timer.pointee.next = head
        timer.pointee.previous = last
        last.pointee.next = timer
        head.pointee.previous = timer
        occupied[list >> 6] |= 1 << UInt64(list & 63)
    }

    private mutating func unlink(_ timer: UnsafeMutablePointer<TimerNode>) {
        let next = timer.pointee.next.unsafelyUnwrapped
        let previous = timer.pointee.previous.unsafelyUnwrapped
        next.pointee.previous = previous
        previous.pointee.next = next
        if next == previous {
            let list = Int(timer.pointee.list)
            occupied[list >> 6] &= ~(1 << UInt64(list & 63))
        }
        timer.pointee.list = TimerNode.notRunning
        timer.pointee.next = nil
        timer.pointee.previous = nil
    }

    private func isOccupied(_ list: Int) -> Bool { occupied[list >> 6] & (1 << UInt64(list & 63)) != 0 }

    /// Slots from `from` on, around the ring, until the first that is occupied.
    private func nextDistance(firstList: Int, slots: Int, from: Int) -> Int? {
        if let found = nextSet(firstList: firstList, from: from, to: slots) { return found - from }
        if let found = nextSet(firstList: firstList, from: 0, to: from) { return found + slots - from }
        return nil
    }

    private func nextSet(firstList: Int, from: Int, to: Int) -> Int? {
        var index = from
        while index < to {
            let list = firstList + index
            let word = occupied[list >> 6] >> UInt64(list & 63)
            if word != 0 {
                let found = index + word.trailingZeroBitCount
                return found < to ? found : nil
            }
            index += 64 - (list & 63)
        }
        return nil
    }
}
