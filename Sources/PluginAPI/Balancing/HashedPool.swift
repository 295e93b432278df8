import SluiceHashing
import SluicePlugin

/// Owners in an order of places, each key with a place to begin at: a ring or a table.
public protocol OwnerPlaces: ~Copyable {
    func place(of hash: UInt64) -> Int
    func next(after place: Int) -> Int
    func owner(at place: Int) -> Int
}

extension KetamaRing: OwnerPlaces {}
extension MaglevTable: OwnerPlaces {}

/// A pool whose keys have endpoints of their own. One that may not be taken is passed over, so its keys go to those
/// that follow theirs, and keys of others stay.
public struct HashedPool<Places: OwnerPlaces & ~Copyable>: ~Copyable {
    /// Places that are passed over before the rest of the pool is asked by rendezvous hashing, which is consistent too
    /// but takes a step for each endpoint that is left: some 1 µs here. With a fifth of a pool eligible one pick in
    /// 10^49 comes to that, with a hundredth 6 in 1,000, and then few are left.
    @inlinable static var stepsAtMost: Int { 512 }

    @usableFromInline var endpoints: EndpointTable
    @usableFromInline var places: Places

    /// No endpoints.
    public init(_ none: consuming Places) {
        endpoints = EndpointTable()
        places = none
    }

    @inlinable public var count: Int { endpoints.count }

    /// Takes the pool's endpoints; `build` makes places for them from their names and weights, unless they are those
    /// that it had.
    public mutating func replace(_ list: List<Endpoint>, build: ([[UInt8]], [UInt32]) -> Places) {
        let isBuilt = endpoints.isBuilt(from: list)
        endpoints = EndpointTable(list)
        if isBuilt { return }
        places = build(list.names, list.weights)
    }

    /// The endpoint of a key's hash among the candidates, which must be of the pool. Allocates nothing.
    @inlinable @inline(__always)
    public func owner(of hash: UInt64, among candidates: Candidates) -> Int {
        var place = places.place(of: hash)
        for _ in 0..<Self.stepsAtMost {
            let owner = places.owner(at: place)
            if candidates.isEligible(owner) { return owner }
            place = places.next(after: place)
        }
        return Rendezvous.owner(
            of: hash, among: endpoints.identities, count: endpoints.count, eligible: candidates.words) ?? 0
    }
}
