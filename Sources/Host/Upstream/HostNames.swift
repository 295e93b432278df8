import CLinux
import Glibc

/// Looks up many names of hosts at once, for a caller that waits: what servers of names that are away cost is the time
/// of one name.
final class HostNames: @unchecked Sendable {
    struct Name: Hashable, Sendable {
        var host: String
        var port: UInt16
    }
    typealias Answer = Result<SocketAddress, SocketAddress.LookUpFailure>
    typealias LookUp = @Sendable (Name) -> Answer

    /// At one time. A thousand names that take 5 ms each take a third of a second.
    static let threads = 16
    /// Nanoseconds that a caller waits in all. The resolver asks a second server after 5 s; whoever has no answer from
    /// that one either would have none after the 20 s more that the resolver goes on for.
    static let patience: UInt64 = 10_000_000_000

    private let lookUp: LookUp
    private var mutex = pthread_mutex_t()
    private var condition = pthread_cond_t()
    // Under the mutex.
    private var waiting: [Name]
    private var answers: [Name: Answer] = [:]

    private init(_ names: Set<Name>, _ lookUp: @escaping LookUp) {
        self.lookUp = lookUp
        waiting = Array(names)
        pthread_mutex_init(&mutex, nil)
        pthread_cond_init(&condition, nil)
    }

    deinit {
        pthread_cond_destroy(&condition)
        pthread_mutex_destroy(&mutex)
    }

    /// The answers to all names. One that has none in time is `.noAnswer`; the thread that asks for it ends by itself.
    /// Blocks for at most `patience`. [main]
    static func answers(
        to names: Set<Name>, patience: UInt64 = HostNames.patience,
        by lookUp: @escaping LookUp = { SocketAddress.lookUp(host: $0.host, port: $0.port) }
    ) -> [Name: Answer] {
        guard !names.isEmpty else { return [:] }
        let work = HostNames(names, lookUp)
        for _ in 0..<min(names.count, threads) { startThread(name: "sluice-lookup") { work.serve() } }
        let known = work.wait(for: names.count, until: clinux_monotonic_ns() + patience)
        return known.merging(names.lazy.map { ($0, .failure(.noAnswer)) }) { answer, _ in answer }
    }

    private func locked<Value>(_ body: () -> Value) -> Value {
        pthread_mutex_lock(&mutex)
        defer { pthread_mutex_unlock(&mutex) }
        return body()
    }

    private func serve() {
        while let name = locked({ waiting.popLast() }) {
            let answer = lookUp(name)
            locked {
                answers[name] = answer
                pthread_cond_broadcast(&condition)
            }
        }
    }

    private func wait(for count: Int, until deadline: UInt64) -> [Name: Answer] {
        locked {
            // Nobody asks for what is left when the caller goes.
            defer { waiting = [] }
            while answers.count < count, clinux_monotonic_ns() < deadline {
                waitBriefly(&condition, &mutex, until: deadline)
            }
            return answers
        }
    }
}
