import Glibc
import SluicePlugin
import Testing

/// The filter `rate-limit` with a Redis that takes connections, reads what it is sent and answers nothing.
@Suite struct FleetRoundsTests {
    private let host = FakeHost(models: [.init(name: "gpt", versions: ["1"])])

    private final class SilentRedis {
        private let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        private(set) var port: UInt16 = 0

        init() throws {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let listener = listener
            let isListening = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(listener, $0, size) == 0 && getsockname(listener, $0, &size) == 0 && listen(listener, 8) == 0
                }
            }
            try #require(isListening)
            port = UInt16(bigEndian: address.sin_port)
        }

        deinit { close(listener) }

        /// The next connection, as soon as a command has come over it.
        func connection() throws -> Int32 {
            try #require(Self.isReadable(listener), "nobody connects")
            let accepted = accept(listener, nil, nil)
            try #require(accepted >= 0 && Self.isReadable(accepted), "nothing is sent")
            var bytes = [UInt8](repeating: 0, count: 4_096)
            try #require(recv(accepted, &bytes, bytes.count, 0) > 0)
            return accepted
        }

        /// Whether something has come, or the end; at most 20 seconds are waited for it.
        static func isReadable(_ descriptor: Int32, milliseconds: Int32 = 20_000) -> Bool {
            var watched = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            return poll(&watched, 1, milliseconds) == 1
        }
    }

    private func filter(_ redis: SilentRedis) throws -> FilterUnderTest {
        let fleet: ConfigTree = ["address": .scalar("127.0.0.1:\(redis.port)"), "timeout_ms": 10_000]
        return try FilterUnderTest(
            "RateLimit", host, config: ["limits": [["requests": 5, "per": "hour"]], "redis": fleet])
    }

    /// They are few, and others' requests would wait with Redis.
    @Test func roundsTakeNoneOfTheHostsThreads() throws {
        let redis = try SilentRedis()
        let filter = try filter(redis)
        host.advance(by: 1_000_000)
        #expect(host.offloaded.isEmpty)
        let connection = try redis.connection()
        defer { close(connection) }
        host.advance(by: 1_000_000_000)
        #expect(host.offloaded.isEmpty)
        #expect(filter.onRequest(FakeExchange()) == 0)
    }

    /// The thread is the entry's, and ends with the last instance, in the midst of a round.
    @Test func theLastInstanceEndsTheRoundsAndDoesNotWaitForRedis() throws {
        let redis = try SilentRedis()
        var (one, other): (FilterUnderTest?, FilterUnderTest?) = (try filter(redis), try filter(redis))
        host.advance(by: 1_000_000)
        let connection = try redis.connection()
        defer { close(connection) }
        withExtendedLifetime(one) {}
        one = nil
        #expect(!SilentRedis.isReadable(connection, milliseconds: 0), "another instance has rounds")
        withExtendedLifetime(other) {}
        let begin = ContinuousClock.now
        other = nil
        // Redis might still answer for ten seconds.
        #expect(ContinuousClock.now - begin < .seconds(5))
        #expect(SilentRedis.isReadable(connection, milliseconds: 0), "the connection is closed when `destroy` returns")
        var byte: UInt8 = 0
        #expect(recv(connection, &byte, 1, 0) == 0)
    }
}
