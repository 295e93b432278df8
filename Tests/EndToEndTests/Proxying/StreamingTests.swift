import Foundation
import Testing

extension EndToEnd {
    /// Bodies go through as they come, in bounded memory.
    @Suite struct Streaming {
        /// A piece whose bytes tell where in a body they belong.
        static let piece: [UInt8] = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31) }

        @Test func partsArriveBeforeTheEndExists() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.head(.ordinary)
                connection.socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst!\r\n")
                // Only when the client has seen the first part does it send more of its own body.
                let more = try connection.reader.take(4, .ordinary)
                connection.socket.send("4\r\n\(text(more ?? []))\r\n0\r\n\r\n")
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let socket = try gateway.connect()
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n")
            let reader = MessageReader(socket)
            _ = try reader.head(.ordinary)
            while !text(reader.left).contains("first!") { try #require(try reader.more(.ordinary)) }
            socket.send("more")
            while !text(reader.left).contains("more") { try #require(try reader.more(.ordinary)) }
        }

        @Test func a64MegabyteBodyDownTakesLittleMemory() throws {
            let count = 1_024
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(count * Streaming.piece.count)\r\n\r\n")
                for _ in 0..<count where !connection.socket.send(Streaming.piece, .after(seconds: 60)) { return }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            _ = try gateway.get("/warm")
            let before = gateway.process.residentBytes
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let reader = StreamCount(socket)
            var most = before
            while reader.bodyCount < count * Self.piece.count {
                try #require(reader.more(.ordinary))
                if reader.reads % 64 == 0 { most = max(most, gateway.process.residentBytes) }
            }
            #expect(reader.mismatches == 0)
            if ChildProcess.memoryIsItsOwn {
                #expect(most - before <= 4 << 20, "grew by \((most - before) >> 10) KiB")
            }
        }

        @Test func a64MegabyteBodyUpTakesLittleMemory() throws {
            let count = 1_024
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.head(.ordinary)
                let counter = StreamCount(connection.socket, afterHead: Array(connection.reader.left))
                while counter.bodyCount < count * Streaming.piece.count {
                    guard counter.more(.ordinary) else { return }
                }
                connection.answer(200, counter.mismatches == 0 ? "intact" : "damaged")
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let socket = try gateway.connect()
            let before = gateway.process.residentBytes
            var most = before
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(count * Self.piece.count)\r\n\r\n")
            for index in 0..<count {
                // Outside of the macro, which would print the piece.
                let isSent = socket.send(Self.piece)
                try #require(isSent, "piece \(index)")
                if index % 64 == 0 { most = max(most, gateway.process.residentBytes) }
            }
            #expect(try MessageReader(socket).response()?.bodyText == "intact")
            if ChildProcess.memoryIsItsOwn {
                #expect(most - before <= 4 << 20, "grew by \((most - before) >> 10) KiB")
            }
        }

        @Test func aSlowReaderHoldsTheBackendBack() throws {
            let sent = Counter()
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(1_024 * Streaming.piece.count)\r\n\r\n")
                for _ in 0..<1_024 {
                    guard connection.socket.send(Streaming.piece, .after(seconds: 60)) else { return }
                    sent.add(1)
                }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let before = gateway.process.residentBytes
            let socket = try gateway.connect(receiveBuffer: 16_384)
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            // It has stalled when nothing moved for half a second.
            var last = -1
            try waitUntil("the backend is held back") {
                let now = sent.value
                guard now == last else {
                    last = now
                    pauseBetweenLooks(milliseconds: 250)
                    return false
                }
                return now > 0
            }
            #expect(sent.value < 512, "\(sent.value) of 1024 pieces were taken from the backend")
            if ChildProcess.memoryIsItsOwn { #expect(gateway.process.residentBytes - before <= 8 << 20) }
        }

        @Test func aClientThatLeavesCancelsTheBackend() throws {
            let noticed = Counter()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                if connection.socket.closedByPeer() { noticed.add(1) }
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let socket = try gateway.connect()
            socket.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the backend has the request") { backend.connectionCount == 1 }
            socket.close()
            try waitUntil("the backend's connection is closed") { noticed.value == 1 }
        }

        @Test func aBackendThatStopsInABodyAbortsTheResponse() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n")
            }
            let gateway = try Gateway(.web([backend.endpoint]))
            let response = try gateway.exchange("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(!response.complete)
        }
    }
}

/// A number that threads share.
final class Counter: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    var value: Int { lock.withLock { count } }
    func add(_ amount: Int) { lock.withLock { count += amount } }
    /// The largest that it was told.
    func raise(to value: Int) { lock.withLock { count = max(count, value) } }
    /// The count with this one.
    func increment() -> Int {
        lock.withLock {
            count += 1
            return count
        }
    }
}

/// Counts the bytes of a body and compares them with `Streaming.piece`, keeping none.
private final class StreamCount {
    private let socket: Socket
    private var head: [UInt8]?
    private(set) var bodyCount = 0
    private(set) var mismatches = 0
    private(set) var reads = 0

    /// A response of which nothing was read.
    init(_ socket: Socket) {
        self.socket = socket
        head = []
    }

    /// A body of which the first bytes came with the head.
    init(_ socket: Socket, afterHead first: [UInt8]) {
        self.socket = socket
        take(first[...])
    }

    func more(_ deadline: Deadline) -> Bool {
        guard case .data(let data) = socket.receive(deadline) else { return false }
        reads += 1
        guard var head else {
            take(data[...])
            return true
        }
        head += data
        self.head = head
        for end in head.indices.dropFirst(3) where head[(end - 3)...end].elementsEqual([13, 10, 13, 10]) {
            self.head = nil
            take(head[(end + 1)...])
            break
        }
        return true
    }

    private func take(_ data: ArraySlice<UInt8>) {
        let piece = EndToEnd.Streaming.piece
        var offset = bodyCount % piece.count
        for byte in data {
            if byte != piece[offset] { mismatches += 1 }
            offset = offset + 1 == piece.count ? 0 : offset + 1
        }
        bodyCount += data.count
    }
}
