/// A ring of points on which each owner has several, so that a key belongs to the owner of the first point at or after
/// it, and an owner that leaves gives its keys to many others. The points are those of libketama (Richard Jones, 2007):
/// the four words of MD5("name-k") for k from 0 on. Two programs that know the same names and weights agree on every
/// owner.
///
/// It differs from libketama in three ways: shares are computed in integers, where libketama's single precision now and
/// then loses a digest to rounding; an owner whose share is below one digest has one; and owners whose points are equal
/// stand in their order. Memory: 6 bytes a point and up to 4 of index, all taken in `init`. Look-ups allocate nothing.
public struct KetamaRing: ~Copyable {
    /// Points of all owners together. 4,096 owners with the customary 160 have 655,360; what is asked for beyond this
    /// bound is cut for all alike, so that a ring takes some 10 MiB at most.
    public static var pointsAtMost: Int { 1 << 20 }
    /// As many as an owner's index has room for.
    public static var ownersAtMost: Int { 1 << 16 }

    /// 0 only when there are no owners.
    public let pointCount: Int
    @usableFromInline let points: UnsafeMutablePointer<UInt32>
    @usableFromInline let owners: UnsafeMutablePointer<UInt16>
    /// Index of the first point whose upper bits are at least the bucket's.
    @usableFromInline let buckets: UnsafeMutablePointer<UInt32>
    @usableFromInline let shift: UInt32

    /// - Parameters:
    ///   - names: one for each owner, whose index is the place in this array; those past `ownersAtMost` have no point.
    ///   - weights: one for each owner; 0 counts as 1. Shares of the ring are in proportion.
    ///   - pointsPerOwner: of an owner of average weight; rounded down to a multiple of 4, at least 4.
    public init(names: [[UInt8]], weights: [UInt32], pointsPerOwner: Int = 160) {
        let count = min(names.count, weights.count, Self.ownersAtMost)
        let total = weights.prefix(count).reduce(UInt64(0)) { $0 + UInt64(max($1, 1)) }
        let digests = max(min(pointsPerOwner / 4, Self.pointsAtMost / 4 / max(count, 1)), 1)
        var keyed: [UInt64] = []
        keyed.reserveCapacity(count * digests * 4)
        // One for all: a worker makes a ring while its requests wait.
        var text: [UInt8] = []
        for index in 0..<count {
            // At most 2^18 digests of all, times a weight: below 2^50.
            let share = Int(UInt64(digests * count) * UInt64(max(weights[index], 1)) / total)
            for digest in 0..<max(share, 1) {
                text.removeAll(keepingCapacity: true)
                text += names[index]
                text.append(UInt8(ascii: "-"))
                Self.append(digest, to: &text)
                let words = MD5.digest(padding: &text)
                keyed.append(UInt64(words.0) << 16 | UInt64(index))
                keyed.append(UInt64(words.1) << 16 | UInt64(index))
                keyed.append(UInt64(words.2) << 16 | UInt64(index))
                keyed.append(UInt64(words.3) << 16 | UInt64(index))
            }
        }
        keyed.sort()
        pointCount = keyed.count
        points = .allocate(capacity: max(keyed.count, 1))
        owners = .allocate(capacity: max(keyed.count, 1))
        points.initialize(repeating: 0, count: max(keyed.count, 1))
        owners.initialize(repeating: 0, count: max(keyed.count, 1))
        for (index, key) in keyed.enumerated() {
            points[index] = UInt32(truncatingIfNeeded: key >> 16)
            owners[index] = UInt16(truncatingIfNeeded: key)
        }
        // One to two points a bucket, so that a look-up takes two or three steps instead of a binary search's many.
        let bits = UInt32(max(1, Int.bitWidth - 1 - max(keyed.count, 1).leadingZeroBitCount))
        shift = 32 - bits
        buckets = .allocate(capacity: 1 << Int(bits))
        var next = 0
        for bucket in 0..<(1 << Int(bits)) {
            while next < keyed.count, Int(points[next] >> shift) < bucket { next += 1 }
            (buckets + bucket).initialize(to: UInt32(next))
        }
    }

    /// In decimal.
    private static func append(_ number: Int, to text: inout [UInt8]) {
        var unit = 1
        while number / unit >= 10 { unit *= 10 }
        while unit > 0 {
            text.append(UInt8(ascii: "0") + UInt8(number / unit % 10))
            unit /= 10
        }
    }

    deinit {
        points.deallocate()
        owners.deallocate()
        buckets.deallocate()
    }

    /// The place on the ring of a 64-bit hash, of which the upper half counts: 0 to `pointCount - 1`, or 0.
    @inlinable @inline(__always)
    public func place(of hash: UInt64) -> Int { place(at: UInt32(truncatingIfNeeded: hash &>> 32)) }

    /// The place of the first point at or after `point`, going around.
    @inlinable
    public func place(at point: UInt32) -> Int {
        var place = Int(buckets[Int(point &>> shift)])
        while place < pointCount, points[place] < point { place &+= 1 }
        return place < pointCount ? place : 0
    }

    /// The place after `place`, going around.
    @inlinable @inline(__always)
    public func next(after place: Int) -> Int { place &+ 1 < pointCount ? place &+ 1 : 0 }

    /// The owner at `place`, which must come from this ring; 0 when it has none.
    @inlinable @inline(__always)
    public func owner(at place: Int) -> Int { Int(owners[place]) }

    /// The owner of a 64-bit hash.
    @inlinable
    public func owner(of hash: UInt64) -> Int { owner(at: place(of: hash)) }

    /// The point at `place`, which must come from this ring.
    public func point(at place: Int) -> UInt32 { points[place] }
}
