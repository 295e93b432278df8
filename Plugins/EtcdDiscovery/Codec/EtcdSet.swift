import FileDiscoveryCodec

/// The keys under a prefix and the endpoints that they are. Pure.
public struct EtcdSet: Sendable {
    private struct Held: Sendable {
        var revision: Int64
        /// The last value of the key that could be read.
        var endpoint: ListedEndpoint?
        /// Why the present one cannot; empty: it can.
        var fault = ""
    }

    /// What is read of one prefix; the host takes no more than 4,096 endpoints of one pool.
    public static let keysAtMost = 8_192

    private var held: [[UInt8]: Held] = [:]

    public init() {}

    public var count: Int { held.count }
    /// Of the key that was changed last; 0 without any.
    public var latest: Int64 { held.values.reduce(0) { max($0, $1.revision) } }

    /// These keys are there, too: a page of all that there are. Their values are read at once and not kept, for they
    /// may be large. False when that is more than can be kept.
    ///
    /// - Parameter before: the set that this one is to replace.
    public mutating func add(_ entries: [EtcdEntry], before: EtcdSet) -> Bool {
        for entry in entries { put(entry, before.held[entry.key]) }
        return held.count <= Self.keysAtMost
    }

    /// False when that is more than can be kept.
    public mutating func apply(_ events: [EtcdEvent]) -> Bool {
        for event in events {
            switch event {
            case .put(let entry): put(entry, held[entry.key])
            case .deleted(let key, _): held[key] = nil
            }
        }
        return held.count <= Self.keysAtMost
    }

    private mutating func put(_ entry: EtcdEntry, _ before: Held?) {
        do throws(ListFault) {
            let endpoint = try EndpointList.readOne(entry.value)
            held[entry.key] = Held(revision: entry.revision, endpoint: endpoint)
        } catch {
            held[entry.key] = Held(revision: entry.revision, endpoint: before?.endpoint, fault: error.text)
        }
    }

    /// In the order of their addresses. Of keys with the same address the one that was changed last counts: who comes
    /// back under another key finds its old one until its lease ends. One without a scheme is of the pool's, which the
    /// host knows: it is the same as one with any, for with another one than the pool's the host refuses that.
    public var endpoints: [ListedEndpoint] {
        var schemes: [String: Set<String>] = [:]
        var found: [ListedEndpoint] = []
        // Of keys that one transaction changed the first counts, in all gateways.
        let latestFirst = held.sorted { one, other in
            one.value.revision == other.value.revision
                ? one.key.lexicographicallyPrecedes(other.key) : one.value.revision > other.value.revision
        }
        for (_, entry) in latestFirst {
            guard let endpoint = entry.endpoint else { continue }
            let (scheme, place) = Self.parts(of: endpoint.address)
            let known = schemes[place, default: []]
            let isNew = scheme.isEmpty ? known.isEmpty : known.isDisjoint(with: [scheme, ""])
            guard isNew else { continue }
            schemes[place, default: []].insert(scheme)
            found.append(endpoint)
        }
        return found.sorted { $0.address < $1.address }
    }

    /// The scheme, empty without one, and the rest as it is compared: the case of a host means nothing, nor does a
    /// slash at the end (RFC 9110 §4.2.3). Paths of Unix sockets are what they are.
    private static func parts(of address: String) -> (scheme: String, place: String) {
        if address.hasPrefix("unix:") { return ("", address) }
        let mark = address.firstRange(of: "://")
        var place = mark.map { address[$0.upperBound...] } ?? address[...]
        if place.hasSuffix("/") { place.removeLast() }
        return (mark.map { String(address[..<$0.lowerBound]) } ?? "", place.lowercased())
    }

    /// What cannot be read, for the operator; empty: nothing.
    public var complaint: String {
        let faults = held.filter { !$0.value.fault.isEmpty }
        guard let first = faults.min(by: { $0.key.lexicographicallyPrecedes($1.key) }) else { return "" }
        let others = faults.count > 1 ? ", and \(faults.count - 1) more" : ""
        return "the value of `\(EtcdFault.shown(first.key))` is no endpoint: \(first.value.fault)\(others)"
    }
}

/// Which member to ask, and when. Pure.
public struct EtcdTurns: Sendable {
    private let count: Int
    /// Milliseconds between two rounds, at most.
    private let pauseAtMost: Int
    private var failures = 0
    public private(set) var index: Int

    /// - Parameter first: any number; gateways that begin with another member share the work.
    public init(count: Int, pauseAtMostMs: Int, first: Int) {
        self.count = count
        pauseAtMost = pauseAtMostMs
        index = first % count
    }

    /// Milliseconds to wait before the next member is asked: none until each has had its turn, then 100 ms, twice as
    /// long each round, less up to a half, so that gateways that lost the same cluster do not all come back at once.
    ///
    /// - Parameters:
    ///   - served: it did well for a while before it failed.
    ///   - random: from 0 to 1.
    public mutating func failed(served: Bool, random: Double) -> Int {
        if served { failures = 0 }
        failures += 1
        index = (index + 1) % count
        guard failures % count == 0 else { return 0 }
        let longest = Double(min(100 << min(failures / count - 1, 20), pauseAtMost))
        return Int(longest * (1 - min(max(random, 0), 1) / 2))
    }
}
