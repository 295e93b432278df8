import Foundation

/// Clients that ask at a steady pace, each on connections of its own and one request after the other, and remember what
/// became of each request and how long it took.
final class SteadyLoad: @unchecked Sendable {
    struct Answer {
        /// On the monotonic clock, nanoseconds.
        var begin: UInt64
        var duration: UInt64
    }

    /// Asks once, and tells what is wrong with the answer, or nothing.
    typealias Asking = () throws -> String?

    private let lock = NSLock()
    private var stopping = false
    private var running: Int
    private var answers: [Answer] = []
    private var wrongAnswers: [String] = []

    /// One client for each of `clients`, which are called on the client's thread, first and after each failure, and
    /// connect.
    init(_ clients: [@Sendable () throws -> Asking]) {
        running = clients.count
        for connect in clients {
            let thread = Thread { [self] in
                var ask: Asking?
                while !lock.withLock({ stopping }) {
                    let begin = monotonicNanoseconds()
                    do {
                        let asking = try ask ?? connect()
                        ask = asking
                        if let wrong = try asking() { note(wrong) }
                    } catch {
                        note("\(error)")
                        ask = nil
                    }
                    let duration = monotonicNanoseconds() - begin
                    lock.withLock { answers.append(Answer(begin: begin, duration: duration)) }
                    // A pace that leaves two cores to gateway and backends, too.
                    pauseBetweenLooks(milliseconds: 3)
                }
                lock.withLock { running -= 1 }
            }
            thread.start()
        }
    }

    deinit { lock.withLock { stopping = true } }

    var count: Int { lock.withLock { answers.count } }
    var wrong: [String] { lock.withLock { wrongAnswers } }

    func waitForMore(_ more: Int) throws {
        let before = count
        try waitUntil("\(more) more answers") { count >= before + more }
    }

    /// Ends the load and gives what was wrong.
    func stop() throws -> [String] {
        lock.withLock { stopping = true }
        try waitUntil("the load has ended") { lock.withLock { running == 0 } }
        return wrong
    }

    /// 99 of 100 requests that began in this time took no longer, in milliseconds; nil without a request.
    func p99(from begin: UInt64, to end: UInt64) -> Double? {
        let durations = lock.withLock { answers.filter { $0.begin >= begin && $0.begin < end }.map(\.duration) }
            .sorted()
        return durations.isEmpty ? nil : Double(durations[durations.count * 99 / 100]) / 1e6
    }

    private func note(_ wrong: String) {
        // A hundred tell enough of what is wrong.
        lock.withLock { if wrongAnswers.count < 100 { wrongAnswers.append(wrong) } }
    }
}
