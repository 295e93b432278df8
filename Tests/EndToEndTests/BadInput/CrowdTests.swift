import Foundation
import Testing

extension EndToEnd {
    /// Many clients that take and do not give: memory stays bounded, and one beside them has no failure.
    @Suite struct Crowds {
        /// Ten thousand idle connections of both protocols, as far as descriptors allow.
        @Test func tenThousandIdleConnections() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { header_timeout_ms: 60000 }"]
            configuration.serverKeys = ["max_connections: 12000"]
            let gateway = try Gateway(configuration)
            let neighbour = Neighbour(gateway)
            var limit = rlimit()
            getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            limit.rlim_cur = limit.rlim_max
            setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit)
            let count = min(10_000, Int(clamping: limit.rlim_cur) - 1_000)
            let before = gateway.process.residentBytes
            var sockets: [Socket] = []
            for index in 0..<count {
                let socket = try gateway.connect()
                if index % 2 == 0 { socket.send(HTTP2Client.preface + HTTP2Frame(.settings).encoded) }
                sockets.append(socket)
            }
            try waitUntil("all connections are open") {
                try gateway.metric("sluice_connections_open", ["side=\"client\""]) >= Double(count)
            }
            // SETTINGS of the last one have come: all of them have been served.
            try neighbour.expectNoHarm()
            if ChildProcess.memoryIsItsOwn {
                // 16 KiB for one of HTTP/2, and next to nothing for one of HTTP/1.1.
                let each = (gateway.process.residentBytes - before) / count
                #expect(each <= 10 << 10, "\(each) bytes a connection")
            }
            for socket in sockets { socket.close() }
            try waitUntil("all are gone") { try gateway.metric("sluice_connections_open", ["side=\"client\""]) < 50 }
            #expect(try gateway.get("/").status == 200)
        }

        /// Heads and bodies that come byte by byte end when their time is over, all of them.
        @Test func slowSendersAreCut() throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.gateway = ["  limits: { header_timeout_ms: 500, body_timeout_ms: 500 }"]
            let gateway = try Gateway(configuration)
            let neighbour = Neighbour(gateway)
            let head = HTTP2Client.preface + HTTP2Frame(.settings).encoded
            let opening = HTTP2Client.block(HTTP2Client.request("POST"))
            let beginnings: [[UInt8]] = [
                bytes("GET / HTTP/1.1\r\nHost: a\r\nX: "),
                bytes("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99\r\n\r\na"),
                bytes("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5"),
                head + HTTP2Frame(.headers, flags: 5, stream: 1, opening).encoded.prefix(20),
                head + HTTP2Frame(.headers, flags: 0, stream: 1, opening).encoded,
                head + HTTP2Frame(.headers, flags: 4, stream: 1, opening).encoded,
            ]
            let sockets = try (0..<300).map { index in
                let socket = try gateway.connect()
                socket.send(beginnings[index % beginnings.count])
                return socket
            }
            // Heads go on byte by byte, which buys no time; bodies stop.
            for _ in 0..<10 {
                for index in stride(from: 0, to: sockets.count, by: beginnings.count) { sockets[index].send("y") }
                pauseBetweenLooks(milliseconds: 20)
            }
            for (index, socket) in sockets.enumerated() where index % beginnings.count < 3 {
                #expect(socket.closedByPeer(), "sender \(index)")
            }
            // A stream is answered with 408 and leaves its connection; a connection that owes a head is ended.
            try waitUntil("all have timed out") { try gateway.metric("sluice_timeouts_total") >= 300 }
            try neighbour.expectNoHarm()
        }

        /// Clients that ask for much and read nothing: over HTTP/1.1, and over HTTP/2 with their windows at zero.
        @Test func readersThatDoNotReadHoldNoMemory() throws {
            let piece = [UInt8](repeating: 0x61, count: 1 << 16)
            let large = try ScriptedBackend { connection, request in
                guard request.target != "/" else { return connection.answer() }
                // Else the kernel takes megabytes of each answer at once, and the machine is busy with that alone.
                var size: Int32 = 1 << 17
                setsockopt(connection.socket.descriptor, SOL_SOCKET, SO_SNDBUF, &size, 4)
                connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: \(64 << 20)\r\n\r\n")
                for _ in 0..<1_024 { guard connection.socket.send(piece, .after(seconds: 60)) else { return } }
            }
            var configuration = GatewayConfiguration.web([large.endpoint])
            configuration.gateway = ["  limits: { body_timeout_ms: 60000 }"]
            let gateway = try Gateway(configuration)
            let neighbour = Neighbour(gateway)
            let before = gateway.process.residentBytes
            let sockets = try (0..<50).map { _ in
                let socket = try gateway.connect(receiveBuffer: 16_384)
                socket.send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
                return socket
            }
            let clients = try (0..<2).map { _ in
                let client = try gateway.http2(settings: [(4, 0)])
                client.opensWindows = false
                for stream in 0..<UInt32(50) { client.request(2 * stream + 1, "GET", "/large") }
                return client
            }
            try waitUntil("all are asked for") { large.requests.filter { $0.target == "/large" }.count == 150 }
            if ChildProcess.memoryIsItsOwn {
                try settle(gateway.process)
                // Of each the buffer in one direction, 64 KiB, and what an endpoint's head came with.
                let growth = gateway.process.residentBytes - before
                #expect(growth <= 150 * 192 << 10, "\(growth >> 10) KiB for 150 answers of 64 MiB")
            }
            try neighbour.expectNoHarm()
            for socket in sockets { socket.close() }
            for client in clients { client.socket.close() }
            try waitUntil("endpoints are left") { large.openCount < 20 }
        }

        /// Waits until memory has not grown for a while.
        private func settle(_ process: ChildProcess) throws {
            var last = 0
            try waitUntil("memory stands still") {
                pauseBetweenLooks(milliseconds: 200)
                let now = process.residentBytes
                defer { last = now }
                return now <= last
            }
        }
    }
}
