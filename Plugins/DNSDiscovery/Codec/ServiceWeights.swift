/// Weights of endpoints made of those of SRV records.
///
/// A record's weight is its target's share among those of its priority (RFC 2782); a target with several addresses
/// divides its share among them. Weights of endpoints are whole numbers from 1 on, so shares are scaled where that is
/// needed to keep them apart; a weight of 0 beside others above 0 is "a very small chance" and becomes 1.
public enum ServiceWeights {
    /// What a weight may be: that of an SRV record.
    static let weightAtMost = 65_535.0
    /// How many times as much as the weight of 0 a weight of 1 gets, where the largest leaves room for that.
    static let scale = 100.0

    /// - Returns: each endpoint's address with its weight; an address that stands for two targets gets both shares.
    public static func endpoints(_ services: [(service: DNSService, addresses: [DNSAddress])]) -> [String: UInt32] {
        let largest = Double(services.map(\.service.weight).max() ?? 0)
        let isEven = largest == 0
        let divides = services.contains { $0.addresses.count > 1 }
        let mixes = !isEven && services.contains { $0.service.weight == 0 }
        let factor = divides || mixes ? max(min(scale, weightAtMost / max(largest, 1)), 1) : 1
        var weights: [String: Double] = [:]
        for (service, addresses) in services {
            let weight = isEven ? factor : service.weight == 0 ? 0 : Double(service.weight) * factor
            for address in addresses {
                weights[address.text(port: service.port), default: 0] += weight / Double(addresses.count)
            }
        }
        return weights.mapValues { UInt32(min(max($0.rounded(), 1), weightAtMost)) }
    }
}
