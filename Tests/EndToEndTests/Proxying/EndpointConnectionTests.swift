import Foundation
import Testing

extension EndToEnd {
    /// Connections to endpoints: those that have to be waited for, and those that are of no use any more.
    @Suite struct EndpointConnections {
        /// A server of a Unix socket whose queue has one place, which is taken.
        private static func full(_ directory: TemporaryDirectory) throws -> (listener: Socket, path: String, Socket) {
            let path = directory.file("model.sock")
            let listener = try Socket.listen(path: path, backlog: 0)
            return (listener, path, try Socket.connect(path: path))
        }

        private static func gateway(_ path: String, connectTimeout: Int) throws -> Gateway {
            var configuration = GatewayConfiguration.web(["unix:\(path)"])
            configuration.gateway = ["  routing: { connect_timeout_ms: \(connectTimeout) }"]
            return try Gateway(configuration)
        }

        private static let request = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 2\r\n\r\nhi"

        @Test func aFullQueueOfAUnixSocketIsWaitedFor() throws {
            let directory = try TemporaryDirectory()
            let (listener, path, other) = try Self.full(directory)
            let gateway = try Self.gateway(path, connectTimeout: 60_000)
            let socket = try gateway.connect()
            socket.send(Self.request)
            try waitUntil("it is on its way") {
                try gateway.metric("sluice_upstream_connections_opened_total", ["web"]) == 1
            }
            #expect(listener.accept(.ordinary) != nil)
            let accepted = try #require(listener.accept(.ordinary))
            #expect(try MessageReader(accepted).request()?.bodyText == "hi")
            accepted.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            #expect(try MessageReader(socket).response(to: "POST")?.status == 200)
            other.close()
            listener.close()
        }

        @Test func aFullQueueOfAUnixSocketIsWaitedForAsLongAsConnectingMayTake() throws {
            let directory = try TemporaryDirectory()
            let (listener, path, other) = try Self.full(directory)
            let gateway = try Self.gateway(path, connectTimeout: 50)
            let answer = try gateway.exchange(Self.request, method: "POST")
            #expect(answer.status == 503)
            #expect(answer.bodyText.contains("the endpoint could not be reached"))
            #expect(try gateway.metric("sluice_timeouts_total", ["connect"]) == 1)
            other.close()
            listener.close()
        }
    }
}
