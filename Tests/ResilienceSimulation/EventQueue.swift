/// What happens at a time.
struct Event {
    enum Kind: UInt8 {
        case arrival, attemptEnds, retry, clientLeaves, queueDeadline, check, outlierInterval, outlierReturn
        case behaviour, sample, hedgeDue
    }

    var time: UInt64
    var kind: Kind
    /// A request or an endpoint.
    var subject: Int
    /// Which life of the subject is meant; an event for a former one is dropped.
    var serial: UInt32 = 0
    /// Events of the same time happen in the order in which they were made.
    fileprivate(set) var order: UInt64 = 0
}

/// A binary heap by time.
struct EventQueue {
    private var heap: [Event] = []
    private var made: UInt64 = 0

    mutating func add(_ event: Event) {
        var event = event
        event.order = made
        made += 1
        heap.append(event)
        var child = heap.count - 1
        while child > 0 {
            let parent = (child - 1) / 2
            guard isBefore(event, heap[parent]) else { break }
            heap[child] = heap[parent]
            child = parent
        }
        heap[child] = event
    }

    mutating func next() -> Event? {
        guard let first = heap.first, let last = heap.popLast() else { return nil }
        if heap.isEmpty { return first }
        var parent = 0
        while true {
            var child = 2 * parent + 1
            guard child < heap.count else { break }
            if child + 1 < heap.count && isBefore(heap[child + 1], heap[child]) { child += 1 }
            guard isBefore(heap[child], last) else { break }
            heap[parent] = heap[child]
            parent = child
        }
        heap[parent] = last
        return first
    }

    private func isBefore(_ first: Event, _ second: Event) -> Bool {
        (first.time, first.order) < (second.time, second.order)
    }
}
