import Foundation

/// A client that asks without a pause, on connections that it keeps and on new ones, and checks every answer.
final class CheckingClient: @unchecked Sendable {
    private let lock = NSLock()
    private var stopping = false
    private var finished = false
    private var wrongAnswers: [String] = []
    private var count = 0

    /// `check` tells what is wrong with the answer to request `index`, or nothing.
    init(
        port: UInt16, request: @escaping @Sendable (Int) -> String,
        check: @escaping @Sendable (Int, HTTPMessage) -> String?
    ) {
        let thread = Thread { [self] in
            var kept: MessageReader?
            var index = 0
            while !isStopping {
                do {
                    // Every tenth request opens a connection anew.
                    if index % 10 == 0 || kept == nil { kept = MessageReader(try Socket.connect(port: port)) }
                    let text = request(index)
                    let method = String(text.prefix { $0 != " " })
                    kept?.socket.send(text)
                    guard let answer = try kept?.response(to: method), answer.complete else {
                        throw HarnessError("no whole answer")
                    }
                    if let wrong = check(index, answer) { note("\(index): \(wrong)") }
                    if answer.field("connection")?.lowercased() == "close" { kept = nil }
                } catch {
                    note("\(index): \(error)")
                    kept = nil
                }
                index += 1
                lock.withLock { count = index }
            }
            lock.withLock { finished = true }
        }
        thread.start()
    }

    var asked: Int { lock.withLock { count } }
    var wrong: [String] { lock.withLock { wrongAnswers } }

    /// Ends the load and gives what was wrong.
    func stop() throws -> [String] {
        lock.withLock { stopping = true }
        try waitUntil("the checking client has ended") { lock.withLock { finished } }
        return wrong
    }

    private var isStopping: Bool { lock.withLock { stopping } }

    private func note(_ text: String) {
        // A hundred tell enough of what is wrong.
        lock.withLock { if wrongAnswers.count < 100 { wrongAnswers.append(text) } }
    }
}

/// wrk with 16 connections, for at most `seconds`.
final class Wrk {
    private let process: ChildProcess

    init(_ url: String, seconds: Int) throws {
        process = try ChildProcess("wrk", ["-t", "1", "-c", "16", "-d", "\(seconds)s", url])
    }

    /// Ends it and gives its report.
    func stop() throws -> String {
        process.signal(SIGINT)
        try process.wait(.after(seconds: 30))
        return process.standardOutput
    }
}
