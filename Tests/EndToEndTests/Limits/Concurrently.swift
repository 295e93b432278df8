import Foundation

/// Runs `body` on `count` threads at once and gives what they return, or throws what one of them threw.
func concurrently<Value: Sendable>(
    _ count: Int, _ deadline: Deadline = .ordinary, _ body: @escaping @Sendable (Int) throws -> Value
) throws -> [Value] {
    let results = ResultsOfThreads<Value>()
    for index in 0..<count {
        Thread {
            results.add(Result { try body(index) })
        }.start()
    }
    try waitUntil("all threads have ended", deadline) { results.all.count == count }
    return try results.all.map { try $0.get() }
}

private final class ResultsOfThreads<Value: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var results: [Result<Value, any Error>] = []

    func add(_ result: Result<Value, any Error>) { lock.withLock { results.append(result) } }
    var all: [Result<Value, any Error>] { lock.withLock { results } }
}
