import Foundation
import Testing

extension EndToEnd {
    /// Values so large that a page of keys has no room in an answer, from a member that is no real etcd.
    @Suite struct EtcdPages {
        @Test(arguments: [
            (keys: 13, kilobytes: 1_000, pages: [1_000, 100, 10, 10]),
            (keys: 2, kilobytes: 6_400, pages: [1_000, 100, 10, 1, 1, 1]),
        ])
        func areAskedForAgainWithFewerKeys(_ keys: Int, _ kilobytes: Int, _ pages: [Int]) throws {
            let backend = try Discovery.named("it")
            let names = (0..<keys).map { "/web/\($0 + 100)" } + ["/web/it"]
            let large = Self.coded(String(repeating: "a", count: kilobytes << 10))
            let entries = names.map { name in
                let (revision, value) = name == "/web/it" ? (9, Self.coded(backend.endpoint)) : (2, large)
                return #"{"key":"\#(Self.coded(name))","mod_revision":"\#(revision)","value":"\#(value)"}"#
            }
            let limits = Limits()
            let release = Gate()
            defer { release.open() }
            let etcd = try ScriptedBackend { connection, request in
                guard let asked = try? JSONDecoder().decode(Question.self, from: Data(request.body)) else {
                    let line = #"{"result":{"created":true}}"# + "\n"
                    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                    connection.socket.send("\(head)\(String(line.utf8.count, radix: 16))\r\n\(line)\r\n")
                    release.wait()
                    return
                }
                // A check asks for the key that was changed last.
                let isCheck = asked.order == "DESCEND"
                let (limit, begin) = (Int(asked.limit) ?? 0, Data(base64Encoded: asked.key).map { text($0) } ?? "")
                if !isCheck { limits.note(limit) }
                let first = isCheck ? names.count - 1 : names.firstIndex { $0 >= begin } ?? names.count
                let kvs = entries[first...].prefix(limit)
                let more = kvs.endIndex < names.count
                let list = kvs.joined(separator: ",")
                connection.answer(
                    200, #"{"header":{"revision":"9"},"kvs":[\#(list)],"more":\#(more),"count":"\#(names.count)"}"#)
            }
            var configuration = EtcdDiscovery.configuration([etcd.endpoint])
            // Megabytes take their time on a machine that does much else.
            configuration.models = configuration.models.map {
                $0.replacing("timeout_ms: 1000", with: "timeout_ms: 60000")
            }
            let gateway = try Gateway(configuration)
            try waitUntil("the endpoint serves") { try EtcdDiscovery.isServed(gateway, by: "it") }
            try waitUntil("the other values are complained of") {
                let reason = "degraded: the value of `/web/100` is no endpoint: it is larger than 16384 bytes"
                return try EtcdDiscovery.status(gateway).contains(reason)
            }
            #expect(try Discovery.endpoints(gateway) == 1)
            #expect(try EtcdDiscovery.count(gateway, "losses") == 0)
            #expect(limits.noted == pages)
        }

        @Test func aValueThatHasNoRoomAtAllIsTold() throws {
            let etcd = try ScriptedBackend { connection, _ in
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 17000000\r\n\r\n")
            }
            let gateway = try Gateway(EtcdDiscovery.configuration([etcd.endpoint]))
            #expect(try gateway.get("/").status == 503)
            let reason = "an answer is larger than 16777216 bytes: a value under the prefix is too large"
            #expect(try EtcdDiscovery.status(gateway).contains(reason))
        }

        private static func coded(_ text: String) -> String { Data(text.utf8).base64EncodedString() }

        /// What keys are asked for with.
        private struct Question: Decodable {
            var key: String
            var limit: String
            var order: String

            enum CodingKeys: String, CodingKey {
                case key, limit
                case order = "sort_order"
            }
        }

        /// Of pages, in their order; noted by the threads of a backend.
        private final class Limits: @unchecked Sendable {
            private let lock = NSLock()
            private var list: [Int] = []
            var noted: [Int] { lock.withLock { list } }
            func note(_ limit: Int) { lock.withLock { list.append(limit) } }
        }
    }
}
