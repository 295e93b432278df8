import SluiceHashing
import SluicePlugin

/// A pool's endpoints, side by side: what a pick reads of each lies close together. Made when the pool changes; reading
/// allocates nothing. The loads are the host's, and live until the next change of the pool.
public struct EndpointTable: ~Copyable {
    public let count: Int
    /// Whether all weights are alike.
    public let isUniform: Bool
    /// A hash of each address: the same in every process.
    public let identities: UnsafePointer<UInt64>
    @usableFromInline let loads: UnsafeMutablePointer<EndpointLoad>
    @usableFromInline let weights: UnsafeMutablePointer<UInt32>

    /// No endpoints.
    public init() { self.init(List(nil, count: 0)) }

    public init(_ endpoints: List<Endpoint>) {
        count = endpoints.count
        let identities = UnsafeMutablePointer<UInt64>.allocate(capacity: max(count, 1))
        loads = .allocate(capacity: max(count, 1))
        weights = .allocate(capacity: max(count, 1))
        var isUniform = true
        for (index, endpoint) in endpoints.enumerated() {
            (identities + index).initialize(to: endpoint.address.withUnsafeBytes { XXHash64.hash($0) })
            (loads + index).initialize(to: endpoint.load)
            (weights + index).initialize(to: max(endpoint.weight, 1))
            if weights[index] != weights[0] { isUniform = false }
        }
        self.isUniform = isUniform
        self.identities = UnsafePointer(identities)
    }

    deinit {
        identities.deallocate()
        loads.deallocate()
        weights.deallocate()
    }

    /// Attempts under way over all workers; `index` is below `count`.
    @inlinable @inline(__always)
    public func inFlight(_ index: Int) -> UInt32 { loads[index].inFlight }

    /// At least 1: a weight of 0 counts as 1. `index` is below `count`.
    @inlinable @inline(__always)
    public func weight(_ index: Int) -> UInt32 { weights[index] }

    /// Whether the same endpoints stand in the same order with the same weights, so that what was built from addresses
    /// and weights is still good.
    public func isBuilt(from endpoints: List<Endpoint>) -> Bool {
        guard count == endpoints.count else { return false }
        for (index, endpoint) in endpoints.enumerated() {
            guard identities[index] == endpoint.address.withUnsafeBytes({ XXHash64.hash($0) }),
                weights[index] == max(endpoint.weight, 1)
            else { return false }
        }
        return true
    }
}

extension List<Endpoint> {
    /// Copies of the addresses, for rings and tables. Allocates.
    public var names: [[UInt8]] { map { Array($0.address) } }
    public var weights: [UInt32] { map(\.weight) }
}
