import SluicePlugin

/// Finds a text among those that a configuration names: tenants, values of a header. Made once, searched for each
/// request by bisection over hashes, without an allocation.
public struct TextTable: Sendable {
    private var hashes: [UInt64] = []
    private var texts: [KeptText] = []
    /// The index that each text was given.
    private var indices: [Int] = []
    private static let hash = KeyHash("table")

    public init() {}

    public var count: Int { texts.count }

    /// False when the text is there already.
    public mutating func add(_ text: String, index: Int) -> Bool {
        let kept = KeptText(text)
        if kept.withBytes({ find($0) }) != nil { return false }
        let hash = kept.withBytes { Self.hash.hash($0) }
        let place = lowerBound(hash)
        hashes.insert(hash, at: place)
        texts.insert(kept, at: place)
        indices.insert(index, at: place)
        return true
    }

    /// The index that the text was added with.
    public func find(_ text: Bytes) -> Int? {
        let hash = Self.hash.hash(text)
        var place = lowerBound(hash)
        while place < hashes.count, hashes[place] == hash {
            if texts[place] == text { return indices[place] }
            place += 1
        }
        return nil
    }

    private func lowerBound(_ hash: UInt64) -> Int {
        var low = 0
        var high = hashes.count
        while low < high {
            let middle = (low + high) / 2
            if hashes[middle] < hash { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
