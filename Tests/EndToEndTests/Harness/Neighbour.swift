import Foundation
import Testing

/// A well-behaved client that asks now and then while others mean harm: what it saw is what they could do to it.
final class Neighbour: @unchecked Sendable {
    private let lock = NSLock()
    private var stopping = false
    private var finished = false
    private var failures: [String] = []
    private var durations: [UInt64] = []

    /// Asks for `/` over HTTP/2 and HTTP/1.1 in turn, every few milliseconds, each on a connection that it keeps.
    init(_ gateway: Gateway) {
        let thread = Thread { [self] in
            do {
                try ask(gateway)
            } catch {
                lock.withLock { failures.append("\(error)") }
            }
            lock.withLock { finished = true }
        }
        thread.start()
    }

    private func ask(_ gateway: Gateway) throws {
        let http2 = try gateway.http2()
        let http1 = MessageReader(try gateway.connect())
        var stream: UInt32 = 1
        // A test that ends by an error does not tell.
        let end = Deadline.after(seconds: 120)
        while !lock.withLock({ stopping }), !end.isPast {
            let begin = monotonicNanoseconds()
            if stream % 4 == 1 {
                http2.request(stream)
                let answer = try http2.answer(stream)
                note(answer.status, answer.bodyText, since: begin)
            } else {
                http1.socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
                let answer = try http1.response()
                note(answer?.status, answer?.bodyText ?? "", since: begin)
            }
            stream += 2
            pauseBetweenLooks(milliseconds: 3)
        }
    }

    private func note(_ status: Int?, _ body: String, since begin: UInt64) {
        let took = monotonicNanoseconds() - begin
        lock.withLock {
            durations.append(took)
            if status != 200 { failures.append("answer \(durations.count), after \(took) ns: \(status ?? 0) \(body)") }
        }
    }

    func expectNoHarm(_ place: SourceLocation = #_sourceLocation) throws {
        let wrong = try stop()
        #expect(wrong.isEmpty, "\(wrong.count) wrong: \(wrong.prefix(5))", sourceLocation: place)
    }

    /// What went wrong. `SLUICE_TEST_LATENCY` is the number of milliseconds in which 99 of 100 answers must come; a
    /// busy machine and a debug build have no say in `make test`, so it is set by `make abuse` alone.
    private func stop() throws -> [String] {
        try waitUntil("the neighbour has asked") { lock.withLock { durations.count >= 100 || finished } }
        lock.withLock { stopping = true }
        try waitUntil("the neighbour has ended") { lock.withLock { finished } }
        return lock.withLock {
            let sorted = durations.sorted()
            let slow = Double(sorted[sorted.count * 99 / 100]) / 1e6
            guard let limit = ProcessInfo.processInfo.environment["SLUICE_TEST_LATENCY"].flatMap(Double.init) else {
                return failures
            }
            print("neighbour: \(sorted.count) answers, p99 \(slow) ms")
            return slow <= limit ? failures : failures + ["p99 is \(slow) ms"]
        }
    }
}
