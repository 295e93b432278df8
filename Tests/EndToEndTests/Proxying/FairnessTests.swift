import Foundation
import Testing

extension EndToEnd {
    /// Connections that always have something to read share a worker with others.
    @Suite struct Fairness {
        /// Sends as much as the kernel takes while the gateway sleeps, and the rest when it is awake: what lies ready
        /// then is more than a connection's share of a turn, and no event tells of it twice.
        private func sendAfterASleep(_ gateway: Gateway, _ socket: Socket, _ content: [UInt8]) -> Gate {
            gateway.process.signal(SIGSTOP)
            var ready = 0
            while ready < content.count {
                let count = content.withUnsafeBytes {
                    Foundation.send(
                        socket.descriptor, $0.baseAddress! + ready, content.count - ready,
                        Int32(MSG_NOSIGNAL) | Int32(MSG_DONTWAIT))
                }
                if count <= 0 { break }
                ready += count
            }
            gateway.process.signal(SIGCONT)
            let sent = Gate()
            let rest = Array(content[ready...])
            let thread = Thread { if socket.send(rest, .after(seconds: 60)) { sent.open() } }
            thread.start()
            return sent
        }

        @Test func bodiesBeyondAShareArriveWholeInBothDirections() throws {
            let content = WebSocket.noise(8 << 20)
            let backend = try ScriptedBackend { connection, request in
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(request.body.count)\r\n\r\n")
                connection.socket.send(request.body, .after(seconds: 60))
            }
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let reader = MessageReader(try gateway.connect())
            let socket = reader.socket
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(content.count)\r\n\r\n")
            let sent = sendAfterASleep(gateway, socket, content)
            #expect(sent.wait())
            // While that body is on its way back, others are answered by the same worker.
            #expect(try gateway.get("/other").status == 200)
            #expect(try reader.response(to: "POST", .after(seconds: 60))?.body == content)
        }

        @Test func tunnelsBeyondAShareCarryEverything() throws {
            let backend = try WebSocket.echo()
            var configuration = WebSocket.configuration([backend.endpoint])
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            let reader = try WebSocket.open(gateway)
            let content = WebSocket.noise(8 << 20)
            let socket = reader.socket
            let sent = sendAfterASleep(gateway, socket, content)
            #expect(try reader.take(content.count, .after(seconds: 60)) == content)
            #expect(sent.wait())
        }
    }
}
