import Foundation
import Testing

extension EndToEnd {
    /// Endpoints over TLS that end their connections as servers should not, and often do.
    @Suite struct EarlyEnds {
        private static let endOfHead = bytes("\r\n\r\n")

        /// Endpoints of `web` at a port, verified by the authority of these certificates.
        private static func configuration(
            _ certificates: Certificates, _ scheme: String, _ backend: ScriptedBackend
        ) -> GatewayConfiguration {
            .web(
                ["\(scheme)://localhost:\(backend.port)"],
                version: ", tls: { ca: \(certificates.file("ca.pem")) }")
        }

        private static func certificates() throws -> Certificates {
            let certificates = try Certificates()
            try certificates.make("model", "DNS:localhost")
            return certificates
        }

        /// Uploads what no socket's buffers hold, and reads the answer that comes meanwhile.
        private static func upload(_ gateway: Gateway) throws -> HTTPMessage? {
            let size = 64 << 20
            let socket = try gateway.connect()
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \(size)\r\n\r\n")
            let thread = Thread {
                let piece = [UInt8](repeating: 7, count: 1 << 20)
                for _ in 0..<64 { guard socket.send(piece) else { return } }
            }
            thread.start()
            return try MessageReader(socket).response(to: "POST")
        }

        /// The answer is in the socket when the endpoint's end is noticed, by a write that fails.
        @Test func anAnswerBeforeTheEndOfAnUploadIsPassedOn() throws {
            let certificates = try Self.certificates()
            let backend = try ScriptedBackend { connection in
                let server = try TLSServer(connection.socket, certificates, "model")
                guard server.read(until: Self.endOfHead) else { return }
                // Until the upload has filled the sockets.
                pauseBetweenLooks(milliseconds: 300)
                server.write(
                    bytes("HTTP/1.1 413 Too Large\r\nContent-Length: 8\r\nConnection: close\r\n\r\ntoo big!"))
            }
            let gateway = try Gateway(Self.configuration(certificates, "https", backend))
            for _ in 0..<3 {
                let answer = try Self.upload(gateway)
                #expect(answer?.status == 413 && answer?.bodyText == "too big!", "\(answer as Any)")
            }
        }

        @Test func anAnswerOfHTTP2BeforeTheEndOfAnUploadIsPassedOn() throws {
            let certificates = try Self.certificates()
            let backend = try ScriptedBackend { connection in
                let server = try TLSServer(connection.socket, certificates, "model", speaksHTTP2: true)
                // Windows that no upload of the test fills.
                let window = HTTP2Frame.word(0x7FFF_0000)
                server.write(
                    HTTP2Frame(.settings, [0, 4, 0x7F, 0xFF, 0, 0]).encoded
                        + HTTP2Frame(.windowUpdate, window).encoded)
                guard server.read(until: [7, 7, 7, 7, 7, 7, 7, 7]) else { return }
                pauseBetweenLooks(milliseconds: 300)
                let fields = [(":status", "413"), ("content-length", "8")]
                server.write(
                    HTTP2Frame(.headers, flags: 4, stream: 1, HTTP2Client.block(fields)).encoded
                        + HTTP2Frame(.data, flags: 1, stream: 1, bytes("too big!")).encoded)
            }
            let gateway = try Gateway(Self.configuration(certificates, "grpcs", backend))
            for _ in 0..<3 {
                let answer = try Self.upload(gateway)
                #expect(answer?.status == 413 && answer?.bodyText == "too big!", "\(answer as Any)")
            }
        }

        /// A connection full of an upload that nobody reads takes one more request, and ends before a byte of that has
        /// gone out: it is asked on another one, though it may not be asked twice.
        @Test func aRequestThatHasNotGoneOutIsAskedAnew() throws {
            let certificates = try Self.certificates()
            let (connections, letsGo) = (Counter(), Gate())
            let backend = try ScriptedBackend { connection in
                let isFirst = connections.increment() == 1
                let server = try TLSServer(connection.socket, certificates, "model", speaksHTTP2: true)
                server.write(
                    HTTP2Frame(.settings, [0, 4, 0x7F, 0xFF, 0, 0]).encoded
                        + HTTP2Frame(.windowUpdate, HTTP2Frame.word(0x7FFF_0000)).encoded)
                guard server.read(until: isFirst ? [7, 7, 7, 7, 7, 7, 7, 7] : bytes("second")) else { return }
                if isFirst { pauseBetweenLooks(milliseconds: 300) }
                let fields = [(":status", isFirst ? "413" : "200"), ("content-length", "2")]
                server.write(
                    HTTP2Frame(.headers, flags: 4, stream: 1, HTTP2Client.block(fields)).encoded
                        + HTTP2Frame(.data, flags: 1, stream: 1, bytes("ok")).encoded)
                if isFirst { _ = letsGo.wait() } else { _ = server.read() }
            }
            var configuration = Self.configuration(certificates, "grpcs", backend)
            configuration.workers = 1
            let gateway = try Gateway(configuration)
            #expect(try Self.upload(gateway)?.status == 413)
            let socket = try gateway.connect()
            socket.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nsecond")
            try waitUntil("it is under way") { try gateway.metric("sluice_endpoint_in_flight") == 1 }
            #expect(connections.value == 1)
            letsGo.open()
            let answer = try MessageReader(socket).response(to: "POST")
            #expect(answer?.status == 200 && answer?.bodyText == "ok", "\(answer as Any)")
        }

        /// What an endpoint has said on a WebSocket reaches the client, which is slow, also when TLS has no end.
        @Test func theLastWordsOfAWebSocketArrive() throws {
            let size = 2_000_000
            let certificates = try Self.certificates()
            let backend = try ScriptedBackend { connection in
                let server = try TLSServer(connection.socket, certificates, "model")
                guard server.read(until: Self.endOfHead) else { return }
                server.write(bytes(WebSocket.agreed))
                server.write([UInt8](repeating: 7, count: size))
            }
            var configuration = Self.configuration(certificates, "https", backend)
            configuration.routes = WebSocket.route
            let gateway = try Gateway(configuration)
            let reader = try WebSocket.open(gateway)
            try waitUntil("the endpoint has left") { backend.openCount == 0 }
            #expect(try reader.rest().count == size)
            try waitUntil("the tunnel is gone") { try gateway.metric("sluice_tunnels_open") == 0 }
        }
    }
}
