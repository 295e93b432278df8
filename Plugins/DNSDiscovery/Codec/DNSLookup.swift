/// Why a question has no answer.
public enum DNSTrouble: Error, Equatable, Sendable {
    /// No server answered, with what kept the last one from it: another question would fare no better.
    case silence(String)
    /// The servers answered that they cannot answer.
    case refusal(String)
    /// The discovery is to end.
    case stopped
}

/// Makes endpoints of a name: which questions follow from which answers. It remembers the addresses of each name, so
/// that one question that fails does not take away what another look knew. Pure; the caller asks.
public struct DNSLookup {
    public enum Kind: Equatable, Sendable {
        case addresses([DNSType], port: UInt16)
        case services(priorities: Priorities)
    }

    public enum Priorities: String, Sendable, CaseIterable {
        /// The lowest number of which a target has an address.
        case best
        /// All alike.
        case all
    }

    public struct Endpoint: Equatable, Sendable {
        public var address: String
        public var weight: UInt32
    }

    public struct Finding: Equatable, Sendable {
        /// In the order of their addresses.
        public var endpoints: [Endpoint]
        /// Seconds for which all that was answered holds.
        public var ttl: UInt32
        /// What could not be asked, and is as it was; empty: nothing.
        public var trouble = ""
        /// Whether the name itself exists.
        public var exists = true
    }

    /// Names that are followed from response to response, beside those within one.
    static let aliasesAtMost = 8
    /// Targets of one service; a pool has room for no more endpoints.
    static let targetsAtMost = 4_096

    private let name: String
    private let kind: Kind
    private var known: [DNSQuestion: [DNSAddress]] = [:]

    public init(name: String, kind: Kind) {
        self.name = DNSName.canonical(name)
        self.kind = kind
    }

    public typealias Ask = (DNSQuestion) throws(DNSTrouble) -> DNSAnswer

    /// One look. It throws when nothing could be learned at all.
    public mutating func look(_ ask: Ask) throws(DNSTrouble) -> Finding {
        var looked = Look(before: known)
        var endpoints: [String: UInt32] = [:]
        switch kind {
        case .addresses(let types, let port):
            var found = 0
            var lost: DNSTrouble?
            for type in types {
                do throws(DNSTrouble) {
                    for address in try looked.addresses(DNSQuestion(name: name, type: type), ask) {
                        endpoints[address.text(port: port)] = 1
                    }
                    found += 1
                } catch {
                    if error == .stopped { throw error }
                    lost = error
                    for address in looked.keep(DNSQuestion(name: name, type: type), error) {
                        endpoints[address.text(port: port)] = 1
                    }
                }
            }
            if found == 0, let lost { throw lost }
        case .services(let priorities):
            endpoints = try services(priorities, &looked, ask)
        }
        known = looked.after
        return Finding(
            endpoints: endpoints.map { Endpoint(address: $0.key, weight: $0.value) }.sorted { $0.address < $1.address },
            ttl: looked.ttl, trouble: looked.trouble, exists: looked.exists)
    }

    private func services(
        _ priorities: Priorities, _ looked: inout Look, _ ask: Ask
    ) throws(DNSTrouble) -> [String: UInt32] {
        let answer = try looked.follow(DNSQuestion(name: name, type: .srv), ask)
        guard case .services(let all, let given) = answer.outcome else { return [:] }
        let levels = priorities == .all ? [all] : Self.byPriority(all)
        for level in levels {
            var found: [(DNSService, [DNSAddress])] = []
            for service in level.prefix(Self.targetsAtMost) {
                let addresses = try looked.addresses(ofTarget: service.target, given: given[service.target], ask)
                if !addresses.isEmpty { found.append((service, addresses)) }
            }
            if !found.isEmpty { return ServiceWeights.endpoints(found) }
        }
        return [:]
    }

    private static func byPriority(_ services: [DNSService]) -> [[DNSService]] {
        Dictionary(grouping: services, by: \.priority).sorted { $0.key < $1.key }.map(\.value)
    }
}

/// What one look has learned so far.
private struct Look {
    let before: [DNSQuestion: [DNSAddress]]
    var after: [DNSQuestion: [DNSAddress]] = [:]
    var trouble = ""
    /// False once a server said that a name which was asked for first does not exist.
    var exists = true
    private var least = UInt32.max

    init(before: [DNSQuestion: [DNSAddress]]) { self.before = before }

    var ttl: UInt32 { least == .max ? 0 : least }

    /// The answer at the end of the aliases.
    mutating func follow(_ question: DNSQuestion, _ ask: DNSLookup.Ask) throws(DNSTrouble) -> DNSAnswer {
        var next = question
        for _ in 0..<DNSLookup.aliasesAtMost {
            let answer = try ask(next)
            switch answer.outcome {
            case .failed(let failure): throw .refusal("`\(next.name)`: \(failure.text)")
            case .nothing(let exists):
                least = min(least, answer.ttl)
                if !exists { self.exists = false }
                return answer
            case .addresses, .services:
                least = min(least, answer.ttl)
                return answer
            case .alias(let target):
                least = min(least, answer.ttl)
                next.name = target
            }
        }
        throw .refusal("`\(question.name)` leads to more than \(DNSLookup.aliasesAtMost) aliases")
    }

    mutating func addresses(_ question: DNSQuestion, _ ask: DNSLookup.Ask) throws(DNSTrouble) -> [DNSAddress] {
        if let found = after[question] { return found }
        var found: [DNSAddress] = []
        if case .addresses(let list) = try follow(question, ask).outcome { found = list }
        after[question] = found
        return found
    }

    /// What was known before, since the question failed.
    mutating func keep(_ question: DNSQuestion, _ reason: DNSTrouble) -> [DNSAddress] {
        switch reason {
        case .silence(let text), .refusal(let text): trouble = text
        case .stopped: break
        }
        let kept = before[question] ?? []
        after[question] = kept
        return kept
    }

    /// Of a service's target. Without those that came along each kind is asked for, and the target is left out only
    /// when the servers say that it has none.
    mutating func addresses(
        ofTarget target: String, given: [DNSAddress]?, _ ask: DNSLookup.Ask
    ) throws(DNSTrouble) -> [DNSAddress] {
        if let given {
            for type in [DNSType.a, .aaaa] {
                after[DNSQuestion(name: target, type: type)] = given.filter { $0.isVersion6 == (type == .aaaa) }
            }
            return given
        }
        let named = exists
        // A target that is not there is no fault of the service's name.
        defer { exists = named }
        var found: [DNSAddress] = []
        for type in [DNSType.a, .aaaa] {
            let question = DNSQuestion(name: target, type: type)
            do throws(DNSTrouble) {
                found += try addresses(question, ask)
            } catch {
                guard case .refusal = error else { throw error }
                found += keep(question, error)
            }
        }
        return found
    }
}
