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

        /// The end of a kept connection comes behind a request, and before the gateway has looked at either.
        @Test func aRequestDoesNotGoToAConnectionThatHasEnded() throws {
            let closes = Gate()
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.answer(200, "\(connection.index)")
                closes.wait()
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let socket = try gateway.connect()
            let reader = MessageReader(socket)
            socket.send(Self.request)
            #expect(try reader.response(to: "POST")?.bodyText == "0")
            let answered = Deadline.after(seconds: 0.1)
            gateway.process.signal(SIGSTOP)
            try waitUntil("the gateway stands still") { gateway.process.isStopped }
            // One in steady use is taken for alive.
            try waitUntil("the connection has rested") { answered.isPast }
            socket.send(Self.request)
            closes.open()
            try waitUntil("the connection is closed") { backend.openCount == 0 }
            gateway.process.signal(SIGCONT)
            // It may not be repeated, so that this was its one attempt.
            #expect(try reader.response(to: "POST")?.bodyText == "1")
        }
    }
}
