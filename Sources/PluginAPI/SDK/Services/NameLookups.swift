import Glibc
import Synchronization

/// Questions to the system's resolver, which may take half a minute for each name while its servers are away, and which
/// nothing breaks off. They are asked on a thread of their own, one after the other, each name once at a time: neither
/// the host's few threads nor whoever asks waits behind them for longer than he wants to.
///
/// There is one thread at most, begun with the first name and ended with the last. It may outlive this object and the
/// instance that made it, and uses nothing of the latter: the host never unmaps a plugin. Any thread, but for `wait`.
public final class NameLookups: Sendable {
    public typealias Resolver = @Sendable (_ host: String, _ port: UInt16) -> [ResolvedAddress]

    /// Names that are known or asked for at one time: as many endpoints as a pool may have. Beyond it what is known is
    /// forgotten, and nothing new is asked for.
    private static let namesAtMost = 4_096
    /// How long an answer that came too late for who waited is good for the next to wait, in nanoseconds.
    private static let lateNs: UInt64 = 60_000_000_000

    private struct Name: Hashable {
        let host: String
        let port: UInt16
    }

    private struct Answer {
        /// Empty: nobody knows the name.
        let addresses: [ResolvedAddress]
        /// In nanoseconds of the monotonic clock.
        let time: UInt64
    }

    private struct State {
        var answers: [Name: Answer] = [:]
        /// The first is being asked for.
        var asked: [Name] = []
        var isRunning = false
        var bell: Bell?
    }

    private let state = Mutex(State())
    private let resolver: Resolver
    private let failureNs: UInt64

    /// - Parameters:
    ///   - failureMs: how long a name that nobody knows is not asked for again, in milliseconds: a resolver that is
    ///     away is not asked without a pause.
    ///   - resolver: may block.
    public init(
        failureMs: UInt64 = 30_000, resolver: @escaping Resolver = { ResolvedAddress.resolved(host: $0, port: $1) }
    ) {
        failureNs = failureMs * 1_000_000
        self.resolver = resolver
    }

    /// The addresses of a host; empty: it has none, or had none a moment ago; nil: not known yet, ask again later.
    /// Never blocks. What was found is kept until it is forgotten.
    public func addresses(of host: String, port: UInt16) -> [ResolvedAddress]? {
        let numeric = ResolvedAddress.numeric(host: host, port: port)
        if !numeric.isEmpty { return numeric }
        let name = Name(host: host, port: port)
        let (known, begins) = state.withLock { state -> ([ResolvedAddress]?, Bool) in
            if let answer = state.answers[name] {
                let isOver = answer.addresses.isEmpty && StopSignal.now - answer.time >= failureNs
                if !isOver { return (answer.addresses, false) }
                state.answers[name] = nil
            }
            guard !state.asked.contains(name), state.asked.count < Self.namesAtMost else { return (nil, false) }
            state.asked.append(name)
            defer { state.isRunning = true }
            return (nil, !state.isRunning)
        }
        if begins, !begin() {
            // No thread is left: whoever asks next tries again.
            state.withLock {
                $0.asked = []
                $0.isRunning = false
            }
        }
        return known
    }

    /// The name is to be asked for anew: it may have moved.
    public func forget(_ host: String, port: UInt16) {
        state.withLock { $0.answers[Name(host: host, port: port)] = nil }
    }

    /// Asks for a host's addresses anew and waits for them; empty: nobody knows it, or there is no answer in time. That
    /// may come later: then it is the next one's. One thread at a time.
    public func wait(for host: String, port: UInt16, _ signal: StopSignal, milliseconds: Int) -> [ResolvedAddress] {
        let name = Name(host: host, port: port)
        let deadline = StopSignal.now + UInt64(min(max(milliseconds, 0), 1 << 40)) * 1_000_000
        let bell = Bell()
        state.withLock { state in
            state.bell = bell
            if let answer = state.answers[name], StopSignal.now - answer.time >= Self.lateNs {
                state.answers[name] = nil
            }
        }
        defer { state.withLock { $0.bell = nil } }
        while true {
            if let known = addresses(of: host, port: port) {
                forget(host, port: port)
                return known
            }
            let now = StopSignal.now
            guard let bell, now < deadline else { return [] }
            let left = Int((deadline - now + 999_999) / 1_000_000)
            guard signal.wait(for: bell.readEnd, events: POLLIN, milliseconds: left) == .ready else { return [] }
            bell.fallSilent()
        }
    }

    // MARK: The thread

    private func begin() -> Bool {
        var attributes = pthread_attr_t()
        pthread_attr_init(&attributes)
        defer { pthread_attr_destroy(&attributes) }
        pthread_attr_setdetachstate(&attributes, Int32(PTHREAD_CREATE_DETACHED))
        var thread = pthread_t()
        let kept = Unmanaged.passRetained(self)
        let status = pthread_create(
            &thread, &attributes,
            { argument in
                guard let argument else { return nil }
                SourceThread.show(name: "sluice-names")
                Unmanaged<NameLookups>.fromOpaque(argument).takeRetainedValue().run()
                return nil
            }, kept.toOpaque())
        if status != 0 { kept.release() }
        return status == 0
    }

    private func run() {
        while let name = next() {
            let found = resolver(name.host, name.port)
            state.withLock { state in
                if state.answers.count >= Self.namesAtMost { state.answers = [:] }
                state.answers[name] = Answer(addresses: found, time: StopSignal.now)
                state.asked.removeFirst()
                state.bell?.ring()
            }
        }
    }

    private func next() -> Name? {
        state.withLock { state in
            if state.asked.isEmpty { state.isRunning = false }
            return state.asked.first
        }
    }

    /// Wakes who waits with a descriptor.
    private final class Bell: Sendable {
        let readEnd: Int32
        private let writeEnd: Int32

        /// Nil: no descriptor is left.
        init?() {
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { return nil }
            for end in ends {
                _ = fcntl(end, F_SETFD, FD_CLOEXEC)
                _ = fcntl(end, F_SETFL, O_NONBLOCK)
            }
            (readEnd, writeEnd) = (ends[0], ends[1])
        }

        deinit {
            close(readEnd)
            close(writeEnd)
        }

        func ring() {
            var byte: UInt8 = 1
            _ = write(writeEnd, &byte, 1)
        }

        func fallSilent() {
            var bytes: UInt64 = 0
            while read(readEnd, &bytes, 8) > 0 {}
        }
    }
}
