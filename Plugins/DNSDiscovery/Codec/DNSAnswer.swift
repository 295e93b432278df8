/// A service of SRV records (RFC 2782).
public struct DNSService: Equatable, Sendable {
    public var priority: UInt16
    public var weight: UInt16
    public var port: UInt16
    public var target: String

    public init(priority: UInt16, weight: UInt16, port: UInt16, target: String) {
        self.priority = priority
        self.weight = weight
        self.port = port
        self.target = target
    }
}

/// What a response says of the question that was asked. Only records that belong to the name that was asked for, or to
/// the aliases that lead from it, count: a server cannot slip in others. Pure.
public struct DNSAnswer: Equatable, Sendable {
    public enum Outcome: Equatable, Sendable {
        /// In the order of the answer, each once.
        case addresses([DNSAddress])
        /// With the addresses that the additional section has of their targets.
        case services([DNSService], known: [String: [DNSAddress]])
        /// The name stands for another one, of which this server says nothing here: that one is to be asked for.
        case alias(String)
        /// There is no such name, or no such record of it.
        case nothing(exists: Bool)
        case failed(code: UInt16)
    }

    public var outcome: Outcome
    /// Seconds for which it holds: the least of all records that it was made of; 0 where the server says nothing.
    public var ttl: UInt32

    /// Aliases that are followed within one response. RFC 1034 §3.6.2 has no bound; resolvers take 8 to 16.
    public static let aliasesAtMost = 16

    public init(_ outcome: Outcome, ttl: UInt32) {
        self.outcome = outcome
        self.ttl = ttl
    }

    public init(_ response: DNSResponse, to question: DNSQuestion) {
        ttl = 0
        outcome = .nothing(exists: response.code != 3)
        guard response.code == 0 || response.code == 3 else {
            outcome = .failed(code: response.code)
            return
        }
        var least = UInt32.max
        var owner = question.name
        var links = 0
        while links < Self.aliasesAtMost, let (target, ttl) = Self.alias(of: owner, response) {
            least = min(least, ttl)
            owner = target
            links += 1
        }
        let records = response.answers.filter { $0.name == owner }
        switch question.type {
        case .srv: readServices(records, response, &least)
        default: readAddresses(records, isVersion6: question.type == .aaaa, &least)
        }
        switch outcome {
        case .addresses, .services: ttl = least
        case .nothing:
            // How long an answer of nothing may be kept (RFC 2308 §5).
            let zone = response.authority.lazy.compactMap { record -> UInt32? in
                guard case .zone(let minimum) = record.data else { return nil }
                return min(record.ttl, minimum)
            }.first
            if let zone {
                ttl = min(least, zone)
            } else if links > 0, response.code == 0, Self.alias(of: owner, response) == nil, DNSName.isAskable(owner) {
                outcome = .alias(owner)
                ttl = least
            }
        case .alias, .failed: break
        }
    }

    private static func alias(of owner: String, _ response: DNSResponse) -> (String, UInt32)? {
        for record in response.answers where record.name == owner {
            if case .alias(let target) = record.data { return (target, record.ttl) }
        }
        return nil
    }

    private mutating func readAddresses(_ records: [DNSRecord], isVersion6: Bool, _ least: inout UInt32) {
        var found: [DNSAddress] = []
        for record in records {
            guard case .address(let address) = record.data, address.isVersion6 == isVersion6 else { continue }
            least = min(least, record.ttl)
            if !found.contains(address) { found.append(address) }
        }
        if !found.isEmpty { outcome = .addresses(found) }
    }

    private mutating func readServices(_ records: [DNSRecord], _ response: DNSResponse, _ least: inout UInt32) {
        var found: [DNSService] = []
        for record in records {
            guard case .service(let priority, let weight, let port, let target) = record.data else { continue }
            least = min(least, record.ttl)
            // "." says that there is decidedly no such service (RFC 2782).
            guard port > 0, DNSName.isAskable(target) else { continue }
            let service = DNSService(priority: priority, weight: weight, port: port, target: target)
            if !found.contains(service) { found.append(service) }
        }
        guard !found.isEmpty else { return }
        let targets = Set(found.map(\.target))
        var known: [String: [DNSAddress]] = [:]
        for record in response.additional where targets.contains(record.name) {
            guard case .address(let address) = record.data else { continue }
            least = min(least, record.ttl)
            if known[record.name]?.contains(address) != true { known[record.name, default: []].append(address) }
        }
        outcome = .services(found, known: known)
    }
}
