import Configuration
import SluiceABI

/// All endpoints that a generation or a discovery names, each at a fixed address. The main thread's own.
///
/// What no pool names any more leaves in steps: it is kept for a while, since whoever restarts comes back under the
/// same address and finds its counts; then each worker is asked to forget it, until all have; then its place is free.
final class EndpointRegistry {
    /// Endpoints at one time, as many as the workers' tables have room for: 16 times what a pool may have, of which
    /// most gateways have a few.
    static let bound = 16_384
    /// How long an endpoint that nothing names keeps its place: longer than its idle connections stay open (50 s), so
    /// that there is mostly nothing left to wait for.
    static let graceNs: UInt64 = 60_000_000_000
    /// Between two questions to workers whether they can forget it.
    static let askAgainNs: UInt64 = 1_000_000_000
    /// Endpoints that workers are asked about in one turn. For each a worker looks through all its exchanges, about
    /// 0.1 ms for ten thousand, and serves nobody meanwhile: thousands that leave together take many turns.
    static let askedAtMost = 16
    /// Between two turns: all places are free again within 11 s of the first question.
    static let turnNs: UInt64 = 10_000_000

    enum Failure: Error { case tooMany, unresolvable(String) }

    private(set) var endpoints: [UnsafeMutablePointer<Endpoint>] = []
    private var byText: [String: Int] = [:]
    private var free: [Int] = []
    private var leaving: [Int: Departure] = [:]
    private var round: UInt32 = 0
    private var nextTurn: UInt64 = 0
    private var lastAsked = 0
    private let workerCount: Int

    /// An endpoint that nothing names.
    private struct Departure {
        /// Tells the answers of this departure from those of an earlier one.
        var round: UInt32
        /// When workers are asked next.
        var askAt: UInt64
        var workersLeft: Set<Int>
    }

    /// Whom to ask about what.
    struct Question: Equatable, Sendable {
        var index: Int
        var round: UInt32
        var worker: Int
    }

    init(workerCount: Int) { self.workerCount = workerCount }

    /// Endpoints that have a place, those that leave included.
    var count: Int { byText.count }

    /// Whether an endpoint of this text has a place, and with it an address.
    func knows(_ text: String) -> Bool { byText[text] != nil }

    /// - Parameter known: the address of a host's name, when it was resolved before.
    func endpoint(
        for settings: Settings.EndpointSettings, address known: SocketAddress? = nil
    ) -> Result<UnsafeMutablePointer<Endpoint>, Failure> {
        if let index = byText[settings.text] {
            leaving[index] = nil
            return .success(endpoints[index])
        }
        guard !free.isEmpty || endpoints.count < Self.bound else { return .failure(.tooMany) }
        let address: SocketAddress?
        let authority: String
        let hostName: String
        switch settings.target {
        case .tcp(let host, let port):
            hostName = host
            address = known ?? SocketAddress.resolve(host: host, port: port)
            authority = host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)"
        case .unix(let path):
            address = SocketAddress.unix(path)
            authority = "localhost"
            hostName = authority
        }
        guard let address else { return .failure(.unresolvable(settings.text)) }
        let made = place()
        made.load.initialize(to: sluice_load())
        made.load.pointee.healthy = 1
        // Of `Endpoint.callsToldEach`: of another one that had the place something may be known.
        let callsTold = (UnsafeMutableRawPointer(made.load) + 64).assumingMemoryBound(to: UInt64.self)
        callsTold.initialize(to: 0)
        made.endpoint.initialize(
            to: Endpoint(
                index: made.index, life: made.life, address: address, speaksHTTP2: settings.scheme.speaksHTTP2,
                text: permanentBytes(settings.text),
                authority: permanentBytes(authority), hostName: permanentText(hostName), load: made.load))
        byText[settings.text] = made.index
        return .success(made.endpoint)
    }

    /// Places for the endpoints of a set, as far as there is room: those of the set that have one, and where that is.
    func places(
        for told: EndpointSet, addresses: [String: SocketAddress]
    ) -> (taken: EndpointSet, endpoints: [UnsafeMutablePointer<Endpoint>]) {
        var taken = told
        var endpoints: [UnsafeMutablePointer<Endpoint>] = []
        var refused: Set<String> = []
        for member in told.members {
            let text = member.settings.text
            switch endpoint(for: member.settings, address: addresses[text]) {
            case .success(let endpoint): endpoints.append(endpoint)
            case .failure: refused.insert(text)
            }
        }
        taken.leaveOut(refused)
        return (taken, endpoints)
    }

    private func place() -> (
        index: Int, life: UInt32, endpoint: UnsafeMutablePointer<Endpoint>, load: UnsafeMutablePointer<sluice_load>
    ) {
        if let index = free.popLast() {
            let endpoint = endpoints[index]
            return (index, endpoint.pointee.life &+ 1, endpoint, endpoint.pointee.load)
        }
        let load = UnsafeMutableRawPointer.allocate(byteCount: 128, alignment: 64)
            .bindMemory(to: sluice_load.self, capacity: 1)
        endpoints.append(.allocate(capacity: 1))
        return (endpoints.count - 1, 0, endpoints[endpoints.count - 1], load)
    }

    // MARK: Leaving

    /// Notes which endpoints are in use, by index, and which are not. `now` is of the monotonic clock.
    func sweep(inUse: Set<Int>, now: UInt64) {
        for index in byText.values {
            if inUse.contains(index) {
                leaving[index] = nil
            } else if leaving[index] == nil {
                round &+= 1
                leaving[index] = Departure(
                    round: round, askAt: now + Self.graceNs, workersLeft: Set(0..<workerCount))
            }
        }
    }

    /// The workers to be asked now. What is due beyond `askedAtMost` endpoints stays due.
    func questions(now: UInt64) -> [Question] {
        guard now >= nextTurn, !leaving.isEmpty else { return [] }
        var questions: [Question] = []
        var asked = 0
        for _ in endpoints.indices {
            // Goes on behind the last one: those that workers still need must not keep others from being asked.
            lastAsked = lastAsked + 1 < endpoints.count ? lastAsked + 1 : 0
            guard let departure = leaving[lastAsked], departure.askAt <= now else { continue }
            leaving[lastAsked]?.askAt = now + Self.askAgainNs
            questions += departure.workersLeft.map { Question(index: lastAsked, round: departure.round, worker: $0) }
            asked += 1
            if asked == Self.askedAtMost { break }
        }
        if asked > 0 { nextTurn = now + Self.turnNs }
        return questions
    }

    /// When `questions` has something to say; nil: nothing leaves.
    var nextQuestion: UInt64? { leaving.values.map(\.askAt).min().map { max($0, nextTurn) } }

    /// A worker has nothing left of the endpoint. The text of an endpoint whose place is free now.
    func forgotten(_ question: Question) -> String? {
        guard leaving[question.index]?.round == question.round else { return nil }
        leaving[question.index]?.workersLeft.remove(question.worker)
        guard leaving[question.index]?.workersLeft.isEmpty == true else { return nil }
        leaving[question.index] = nil
        let endpoint = endpoints[question.index]
        let text = endpoint.pointee.text.text
        byText[text] = nil
        endpoint.pointee.text.data?.deallocate()
        endpoint.pointee.authority.data?.deallocate()
        endpoint.pointee.hostName.deallocate()
        free.append(question.index)
        return text
    }
}
