import EtcdDiscoveryCodec
import Glibc
import SluicePlugin

/// What an etcd discovery was told to do.
struct EtcdSettings: Sendable {
    var members: [EtcdMember] = []
    var prefix: [UInt8] = []
    /// Empty: without authentication.
    var username = ""
    var password = ""
    /// For members over TLS.
    var tls: EtcdTLS?
    /// What a connection and a request may take.
    var timeoutMs = 5_000
    /// How often a member is asked whether the watch has missed something.
    var checkMs = 10_000
    var retryAtMostMs = 10_000
}

/// What is counted of one pool's source. On the thread of the discovery.
struct EtcdCounters: Sendable {
    let reads: Counter
    let events: Counter
    let checks: Counter
    let losses: Counter
}

/// Reads the keys under a prefix and watches them from there on, with one member at a time; with another one when that
/// fails, falls silent, or has forgotten what came since. On the thread that `start` makes.
final class EtcdFollower: @unchecked Sendable {
    private let settings: EtcdSettings
    private let counters: EtcdCounters
    private let log: Log
    private let sink: EndpointSink
    private var turns: EtcdTurns
    private var set = EtcdSet()
    private var token = ""
    /// The member that is asked, and its addresses.
    private var member: EtcdMember
    private var places: [ResolvedAddress] = []
    private let names = NameLookups()
    private var signal = StopSignal(descriptor: -1)

    init(_ settings: EtcdSettings, _ counters: EtcdCounters, _ host: Host, _ sink: EndpointSink) {
        self.settings = settings
        self.counters = counters
        log = host.log
        self.sink = sink
        turns = EtcdTurns(
            count: settings.members.count, pauseAtMostMs: settings.retryAtMostMs, first: Int.random(in: 0..<1_024))
        member = settings.members[turns.index]
    }

    func run(_ signal: StopSignal) {
        self.signal = signal
        while true {
            let begun = StopSignal.now
            do throws(EtcdTrouble) {
                try follow()
            } catch {
                let text: String
                switch error {
                case .stopped: return
                case .text(let reason), .tooLarge(let reason): text = reason
                }
                counters.losses.add()
                let served = StopSignal.now - begun >= UInt64(settings.checkMs) * 1_000_000
                let reason = "\(member.authority): \(text)"
                let pause = turns.failed(served: served, random: .random(in: 0...1))
                log.write(.debug, "leaves etcd's member \(reason); the next is asked in \(pause) ms")
                guard pause > 0 else { continue }
                let others =
                    settings.members.count > 1 ? "none of \(settings.members.count) members serves; the last: " : ""
                sink.failed("etcd: \(others)\(reason)")
                if signal.wait(milliseconds: pause) == .stopped { return }
            }
        }
    }

    private func deadline() -> UInt64 { StopSignal.now + UInt64(settings.timeoutMs) * 1_000_000 }

    /// Reads and watches with one member, until that fails.
    private func follow() throws(EtcdTrouble) -> Never {
        member = settings.members[turns.index]
        places = names.wait(for: member.host, port: member.port, signal, milliseconds: settings.timeoutMs)
        if signal.wait(milliseconds: 0) == .stopped { throw .stopped }
        // Another member may not know it: simple tokens are of one cluster, but that may have been made anew.
        token = ""
        let revision = try readAll()
        tell()
        var connection = try EtcdConnection(member, places, tls, signal, deadline: deadline())
        let request = EtcdRequest.watch(settings.prefix, from: revision + 1)
        try connection.send(request.bytes(host: member.authority, token: token), deadline: deadline())
        var answer = HTTPAnswer()
        var isCreated = false
        var nextCheck = deadline()
        var missing: UInt64?
        while true {
            let until = min(nextCheck, missing ?? .max)
            switch try connection.receive(deadline: until) {
            case .bytes(let bytes):
                do throws(EtcdFault) { try answer.push(bytes) } catch { throw EtcdTrouble(error) }
                if answer.status != 0, answer.status != 200 {
                    // The rest of its body says why.
                    guard answer.isComplete else { continue }
                    throw .text(EtcdText.complaint(Array(answer.content), status: answer.status))
                }
                if try takeMessages(&answer, &isCreated) { missing = nil }
                if answer.isComplete { throw .text("it has ended the watch") }
            case .end: throw .text("it has closed the watch")
            case .nothing: break
            }
            let now = StopSignal.now
            if let missing, now >= missing { throw .text("its watch has fallen silent") }
            guard now >= nextCheck else { continue }
            guard isCreated else { throw .text("it does not begin the watch in time") }
            nextCheck = now + UInt64(settings.checkMs) * 1_000_000
            // What it has, the watch has told or tells soon.
            if try !isSame() { missing = missing ?? deadline() } else { missing = nil }
            tell()
        }
    }

    private var tls: EtcdTLS? { member.isTLS ? settings.tls : nil }

    /// What is known, also when it is as before: that says that it still holds.
    private func tell() {
        let endpoints = set.endpoints.map { DiscoveredEndpoint(address: $0.address, weight: $0.weight, zone: $0.zone) }
        let complaint = set.complaint
        // A set ends a complaint: its own follows at once, or whoever looks in between sees a source that is well.
        sink.set(endpoints)
        if !complaint.isEmpty { sink.failed(complaint) }
    }

    /// Whether there was any.
    private func takeMessages(_ answer: inout HTTPAnswer, _ isCreated: inout Bool) throws(EtcdTrouble) -> Bool {
        var tookAny = false
        var changed = false
        while let line = answer.takeLine() {
            if line.isEmpty { continue }
            tookAny = true
            let message: EtcdWatchMessage
            do throws(EtcdFault) { message = try EtcdWatchMessage.read(line) } catch { throw EtcdTrouble(error) }
            switch message {
            case .created: isCreated = true
            case .cancelled(let compacted, let reason):
                if compacted > 0 { throw .text("it has compacted its history up to revision \(compacted)") }
                throw .text("it has cancelled the watch: \(reason)")
            case .events(let events):
                counters.events.add(Double(events.count))
                guard set.apply(events) else { throw Self.tooMany }
                changed = changed || !events.isEmpty
            }
        }
        if changed { tell() }
        return tookAny
    }

    // MARK: Reading

    private static var tooMany: EtcdTrouble {
        .text("there are more than \(EtcdSet.keysAtMost) keys under the prefix")
    }

    /// The store's revision that all keys were read at.
    private func readAll() throws(EtcdTrouble) -> Int64 {
        counters.reads.add()
        let end = EtcdRequest.end(of: settings.prefix)
        var found = EtcdSet()
        var revision: Int64 = 0
        var next = settings.prefix
        // The size of a page, for the rest of the keys: what is large here may be large there.
        var size = 0
        while true {
            let page: EtcdRange
            do throws(EtcdTrouble) {
                page = try range(.page(from: next, to: end, revision: revision, keys: EtcdRequest.pageKeys[size]))
            } catch {
                guard case .tooLarge(let reason) = error else { throw error }
                size += 1
                guard size < EtcdRequest.pageKeys.count else {
                    throw .text("\(reason): a value under the prefix is too large for an endpoint; remove its key")
                }
                continue
            }
            if revision == 0 { revision = page.revision }
            guard found.add(page.entries, before: set) else { throw Self.tooMany }
            guard page.hasMore, let last = page.entries.last else { break }
            next = last.key + [0]
        }
        guard revision > 0 else { throw .text("an answer has no revision") }
        set = found
        return revision
    }

    /// Whether the member has no more than the watch has told.
    private func isSame() throws(EtcdTrouble) -> Bool {
        counters.checks.add()
        let summary = try range(.summary(of: settings.prefix))
        return summary.count == set.count && (summary.entries.first?.revision ?? 0) == set.latest
    }

    private func range(_ request: EtcdRequest) throws(EtcdTrouble) -> EtcdRange {
        if token.isEmpty, !settings.username.isEmpty { try authenticate() }
        var (status, body) = try exchange(request)
        // The token has expired.
        if status == 401, !settings.username.isEmpty {
            try authenticate()
            (status, body) = try exchange(request)
        }
        guard status == 200 else { throw .text(EtcdText.complaint(body, status: status)) }
        do throws(EtcdFault) { return try EtcdRange.read(body) } catch { throw EtcdTrouble(error) }
    }

    private func authenticate() throws(EtcdTrouble) {
        token = ""
        let (status, body) = try exchange(.authenticate(settings.username, settings.password))
        guard status == 200 else {
            throw .text("`\(settings.username)` is not let in: \(EtcdText.complaint(body, status: status))")
        }
        do throws(EtcdFault) { token = try EtcdText.token(body) } catch { throw EtcdTrouble(error) }
    }

    /// Asks on a connection of its own.
    private func exchange(_ request: EtcdRequest) throws(EtcdTrouble) -> (status: UInt16, body: [UInt8]) {
        let deadline = deadline()
        var connection = try EtcdConnection(member, places, tls, signal, deadline: deadline)
        try connection.send(request.bytes(host: member.authority, token: token), deadline: deadline)
        var answer = HTTPAnswer()
        while !answer.isComplete {
            switch try connection.receive(deadline: deadline) {
            case .bytes(let bytes):
                do throws(EtcdFault) { try answer.push(bytes) } catch { throw EtcdTrouble(error) }
                // Who sends without an end is not waited for either.
                if StopSignal.now >= deadline { throw .text("it does not answer in time") }
            case .end:
                do throws(EtcdFault) { try answer.end() } catch { throw EtcdTrouble(error) }
            case .nothing: throw .text("it does not answer in time")
            }
        }
        return (answer.status, Array(answer.content))
    }
}
