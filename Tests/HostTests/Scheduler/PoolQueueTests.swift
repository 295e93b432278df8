import Resilience
import Testing

@testable import Host

/// A queue at its home worker, and places in it, with memory for as long as the test lasts.
private final class Home {
    var home = PoolHome()
    private var places: [UnsafeMutablePointer<QueuePlace>] = []
    var store = QueuePlaceStore()

    init(capacity: Int) { home.limits.admission.capacity = capacity }
    deinit {
        for place in places { store.release(place) }
        home.queue?.deallocate()
    }

    /// A place in the queue; nil: it has no room.
    func enter() -> UnsafeMutablePointer<QueuePlace>? {
        home.prepare(now: 0)
        let place = store.take()
        // Nothing here looks at the pool.
        let nowhere = UnsafeMutablePointer<SharedPool>(bitPattern: 64).unsafelyUnwrapped
        let token = UInt64(UInt(bitPattern: place))
        place.initialize(
            to: QueuePlace(
                shared: nowhere, exchange: 1, worker: 0,
                entry: AdmissionEntry(token: token, priority: 5, waitingSince: 0)))
        places.append(place)
        guard case .queued(let handle) = home.queue?.push(place.pointee.entry, now: 0) else { return nil }
        place.stands(at: handle)
        return place
    }

    func takeNext() -> UnsafeMutablePointer<QueuePlace>? {
        guard case .next(let entry) = home.queue?.take(now: 0) else { return nil }
        return QueuePlace.of(entry)
    }

    func remove(_ place: UnsafeMutablePointer<QueuePlace>) -> Bool { home.remove(place) }
}

@Suite("The queue of a pool at its home worker")
struct PoolQueueTests {
    @Test func whoLeavesIsTakenOutOnce() throws {
        let home = Home(capacity: 4)
        let (first, second) = (try #require(home.enter()), try #require(home.enter()))
        #expect(home.remove(first) && first.pointee.verdict == .left)
        #expect(!home.remove(first))
        #expect(home.takeNext() == second)
    }

    /// A request leaves when its verdict is on its way already, and the queue is another one meanwhile, which gives the
    /// same handles.
    @Test func whoLeavesLateTakesOutNobodyElse() throws {
        let home = Home(capacity: 4)
        let first = try #require(home.enter())
        #expect(home.takeNext() == first)
        let handle = first.pointee.handle
        first.judge(.granted)
        home.home.limits.admission.capacity = 8
        let second = try #require(home.enter())
        #expect(second.pointee.handle == handle, "or the test shows nothing")
        #expect(!home.remove(first))
        #expect(first.pointee.verdict == .granted)
        #expect(home.takeNext() == second)
    }

    /// The configuration is another one while some wait.
    @Test(arguments: [64, 4]) func aLargerQueueIsThereAtOnce(_ tenants: Int) throws {
        let home = Home(capacity: 2)
        let before = (try #require(home.enter()), try #require(home.enter()))
        #expect(home.enter() == nil)
        home.home.limits.admission.capacity = 4
        home.home.limits.admission.tenants = tenants
        let after = (try #require(home.enter()), try #require(home.enter()))
        #expect(home.enter() == nil)
        #expect(home.remove(before.1) && home.remove(after.0))
        #expect(home.takeNext() == before.0)
        #expect(home.takeNext() == after.1)
        #expect(home.takeNext() == nil)
    }

    @Test func aSmallerQueueTakesNobodyBeyondItsSize() throws {
        let home = Home(capacity: 3)
        let waiting = try (0..<3).map { _ in try #require(home.enter()) }
        home.home.limits.admission.capacity = 2
        #expect(home.enter() == nil)
        #expect(home.takeNext() == waiting[0])
        #expect(home.enter() == nil)
        #expect(home.takeNext() == waiting[1])
        #expect(home.enter() != nil)
        #expect(home.enter() == nil)
        #expect(home.takeNext() == waiting[2])
    }

    @Test func memoryOfPlacesIsUsedAgain() throws {
        var store = QueuePlaceStore()
        let nowhere = UnsafeMutablePointer<SharedPool>(bitPattern: 64).unsafelyUnwrapped
        func place() -> UnsafeMutablePointer<QueuePlace> {
            let place = store.take()
            place.initialize(
                to: QueuePlace(
                    shared: nowhere, exchange: 1, worker: 0,
                    entry: AdmissionEntry(token: 1, priority: 5, waitingSince: 0)))
            return place
        }
        let first = place()
        first.pointee.retain()
        store.release(first)
        let keptEarly = store.kept
        #expect(keptEarly == 0, "somebody else still needs it")
        store.release(first)
        #expect(place() == first)
        store.release(first)
        let many = (0..<QueuePlaceStore.keptAtMost + 10).map { _ in place() }
        #expect(Set(many).count == many.count)
        for place in many { store.release(place) }
        let kept = store.kept
        #expect(kept == QueuePlaceStore.keptAtMost)
    }
}
