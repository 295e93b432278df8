import SluicePlugin

/// The known keys, one after the other in one array, with whose they are.
struct KeyRing {
    /// All keys are compared for each request, about 10 µs at this many keys of 32 bytes; more want a table of hashes.
    static let limit = 1024

    private var bytes: [UInt8] = []
    private var ends: [Int] = []
    private var tenants: [KeptText] = []

    var count: Int { ends.count }

    mutating func add(_ key: String, tenant: String) {
        bytes.append(contentsOf: key.utf8)
        ends.append(bytes.count)
        tenants.append(KeptText(tenant))
    }

    func contains(_ key: String) -> Bool { KeptText(key).withBytes { owner(of: $0) } != nil }

    /// Index of the key that `shown` is. The time depends on the known keys and the length of `shown` alone: neither
    /// how many bytes agree nor which key it is can be measured from outside.
    func owner(of shown: Bytes) -> Int? {
        var found = -1
        var start = 0
        for index in ends.indices {
            let end = ends[index]
            var difference = UInt(bitPattern: (end &- start) ^ shown.count)
            for offset in start..<end {
                difference |= UInt(bytes[offset] ^ (shown.at(offset &- start) ?? 0))
            }
            // 0 when equal, else all ones: `found` is chosen without a branch.
            let differs = Int(bitPattern: 0 &- ((difference | (0 &- difference)) &>> UInt(UInt.bitWidth - 1)))
            found = (found & differs) | (index & ~differs)
            start = end
        }
        return found < 0 ? nil : found
    }

    func tenant(_ index: Int) -> KeptText { tenants[index] }
}
