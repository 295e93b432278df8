import Configuration

/// One endpoint as a plugin told it.
struct ToldEndpoint: Sendable, Hashable {
    var address: String
    var weight: UInt32 = 1
    var zone = ""
}

/// The endpoints of a pool made of what a plugin told: a pure value, in an order that does not depend on the plugin's,
/// so that all gateways of a fleet agree and the same set in another order is no change.
struct EndpointSet: Sendable, Equatable {
    struct Member: Sendable, Hashable {
        var settings: Settings.EndpointSettings
        var weight: UInt32
        var zone: String
    }

    private(set) var members: [Member] = []
    /// What was refused, each with the reason, for the log.
    private(set) var refused: [String] = []

    /// The largest weight of SRV records (RFC 2782). Larger ones are cut: balancers add up 4,096 of them in 32 bits.
    static let weightAtMost: UInt32 = 65_535

    init() {}

    /// - Parameters:
    ///   - told: of several entries of one endpoint, however they are written, the first counts.
    ///   - atMost: endpoints of one pool; what is beyond it in the order of addresses is refused.
    init(_ told: [ToldEndpoint], scheme: Settings.EndpointSettings.Scheme, atMost: Int) {
        var seen: Set<Settings.EndpointSettings.Target> = []
        for entry in told {
            switch Settings.EndpointSettings.discovered(entry.address, scheme: scheme) {
            case .failure(let refusal):
                refused.append("\(Self.shown(entry.address)) \(refusal.complaint)")
            case .success(let settings):
                // Also an entry that drains is one: that it says something else than another must be told.
                guard seen.insert(settings.target.canonical).inserted else {
                    refused.append("\(Self.shown(entry.address)) stands twice")
                    continue
                }
                // 0 takes it out of the set: what is to be drained.
                guard entry.weight > 0 else { continue }
                members.append(
                    Member(settings: settings, weight: min(entry.weight, Self.weightAtMost), zone: entry.zone))
            }
        }
        members.sort { $0.settings.text < $1.settings.text }
        if members.count > atMost {
            refused.append("\(members.count - atMost) endpoints are beyond the \(atMost) that a pool may have")
            members.removeLast(members.count - atMost)
        }
    }

    /// The names among the addresses, which a resolver has to be asked for.
    var names: [Settings.EndpointSettings] { members.map(\.settings).filter { !$0.isNumeric } }

    /// Takes out what the resolver does not know.
    mutating func drop(_ unresolved: Set<String>) {
        for text in unresolved.sorted() { refused.append("\(Self.shown(text)) has a host that is not known") }
        leaveOut(unresolved)
    }

    /// Takes members out by their texts.
    mutating func leaveOut(_ texts: Set<String>) {
        guard !texts.isEmpty else { return }
        members.removeAll { texts.contains($0.settings.text) }
    }

    /// For a log, where no password may stand.
    private static func shown(_ address: String) -> String {
        if address.contains("@") { return "an address with `@`, which is not shown," }
        return "`\(oneLine(address, limit: 200))`"
    }
}
