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
        case failed(Failure)
    }

    /// Why a server says nothing of the name: another one may.
    public enum Failure: Equatable, Sendable {
        /// As `DNSResponse.code`.
        case code(UInt16)
        /// It names others that may know, or is neither of the zone nor asks for anybody. That is not to say that there
        /// are no such records (RFC 2308 §2.2).
        case referral
        /// The aliases lead in a circle, or there are more than are followed.
        case aliases
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
            outcome = .failed(.code(response.code))
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
        guard Self.alias(of: owner, response) == nil else {
            outcome = .failed(.aliases)
            return
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
            } else if links > 0, response.code == 0, DNSName.isAskable(owner) {
                outcome = .alias(owner)
                ttl = least
            } else if response.code == 0, records.isEmpty, Self.isReferral(response) {
                outcome = .failed(.referral)
            }
        case .alias, .failed: break
        }
    }

    /// Whether a response without an error and without records means that others are to be asked: servers of the zone
    /// are named, and the begin of the zone, which comes with "no such records", is not (RFC 2308 §2.2); or the server
    /// can know neither by itself nor from others. For who has seen that there is no begin of a zone.
    private static func isReferral(_ response: DNSResponse) -> Bool {
        response.authority.contains { $0.data == .nameServer } || !response.isAuthoritative && !response.asksOthers
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

extension DNSAnswer.Failure {
    /// For the operator: what the servers did (codes: IANA's registry of DNS RCODEs).
    public var text: String {
        switch self {
        case .code(1): "the servers cannot read the question (FORMERR)"
        case .code(2): "the servers failed (SERVFAIL)"
        case .code(4): "the servers do not know such questions (NOTIMP)"
        case .code(5): "the servers refuse to answer (REFUSED)"
        case .code(let code): "the servers failed with code \(code)"
        case .referral:
            "the servers only refer to others (a referral); name servers that have the zone, or ask others for it"
        case .aliases:
            "its aliases (CNAME) lead in a circle, or there are more than \(DNSAnswer.aliasesAtMost); mend the zone"
        }
    }
}
