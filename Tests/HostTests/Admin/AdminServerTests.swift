import Glibc
import Testing

@testable import Host

@Suite struct AdminServing {
    private func withGateway(
        patienceMs: UInt64 = AdminServer.defaultPatienceMs, _ body: (TestGateway) throws -> Void
    ) throws {
        let directory = try TestGateway.temporaryDirectory()
        let gateway = try TestGateway(socket: directory + "/run/sluice.sock", patienceMs: patienceMs)
        defer {
            gateway.stop()
            rmdir(directory + "/run")
            rmdir(directory)
        }
        try body(gateway)
    }

    private func ask(_ gateway: TestGateway, _ method: String, _ target: String) throws -> (status: Int, body: String) {
        let answer = try AdminClient.request(method, target, socket: gateway.socket, timeoutMs: 10_000)
        return (answer.status, String(decoding: answer.body, as: UTF8.self))
    }

    @Test func socketAnswersStatusReloadAndMetrics() throws {
        try withGateway { gateway throws in
            let status = try ask(gateway, "GET", "/status")
            #expect(status.status == 200)
            #expect(status.body.hasPrefix(#"{"version":"0.1.0","pid":42,"uptime_seconds":3725.5,"#))
            let table = try ask(gateway, "GET", "/status?format=text")
            #expect(table.body == StatusReport.example.text)
            let metrics = try ask(gateway, "GET", "/metrics")
            #expect(metrics.body == "# HELP a b\n")
            let reload = try ask(gateway, "POST", "/reload")
            #expect(reload.status == 200 && reload.body == "{\"ok\":true,\"generation\":9,\"diagnostics\":[]}\n")
            #expect(gateway.reloads.load(ordering: .relaxed) == 1)
        }
    }

    @Test func refusedReloadSaysWhy() throws {
        try withGateway { gateway throws in
            gateway.outcome = ReloadOutcome(
                succeeded: false, generation: 8, diagnostics: ["a.yaml:1:2: error: no \"such\" key"])
            let json = try ask(gateway, "POST", "/reload")
            #expect(json.status == 422)
            let expected = #"{"ok":false,"generation":8,"diagnostics":["a.yaml:1:2: error: no \"such\" key"]}"#
            #expect(json.body == expected + "\n")
            let text = try ask(gateway, "POST", "/reload?format=text")
            #expect(text.status == 422)
            #expect(text.body == "a.yaml:1:2: error: no \"such\" key\nrefused: generation 8 stays in force\n")
        }
    }

    @Test func onlyPostReloads() throws {
        try withGateway { gateway throws in
            #expect(try ask(gateway, "GET", "/reload").status == 405)
            #expect(try ask(gateway, "POST", "/status").status == 405)
            #expect(try ask(gateway, "GET", "/nothing").status == 404)
            #expect(gateway.reloads.load(ordering: .relaxed) == 0)
        }
    }

    @Test func metricsListenerGivesMetricsAndNothingElse() throws {
        try withGateway { gateway throws in
            func answer(_ request: String) throws -> String {
                let connection = try TestConnection(port: gateway.metricsPort)
                connection.send(request)
                return try connection.receive()
            }
            let metrics = try answer("GET /metrics?x=1 HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(metrics.hasPrefix("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n"))
            #expect(metrics.hasSuffix("\r\n\r\n# HELP a b\n"))
            #expect(try answer("HEAD /metrics HTTP/1.1\r\nHost: a\r\n\r\n").hasSuffix("\r\n\r\n"))
            #expect(try answer("GET /healthz HTTP/1.0\n\n").hasSuffix("\r\n\r\nok\n"))
            #expect(try answer("GET /status HTTP/1.1\r\nHost: a\r\n\r\n").hasPrefix("HTTP/1.1 404 "))
            #expect(try answer("POST /reload HTTP/1.1\r\nHost: a\r\n\r\n").hasPrefix("HTTP/1.1 404 "))
            #expect(try answer("POST /metrics HTTP/1.1\r\nHost: a\r\n\r\n").hasPrefix("HTTP/1.1 405 "))
            #expect(gateway.reloads.load(ordering: .relaxed) == 0)
        }
    }

    @Test func answerLongerThanTheSocketHoldsComesWhole() throws {
        try withGateway { gateway throws in
            gateway.metrics = [UInt8](repeating: UInt8(ascii: "a"), count: 20 << 20)
            #expect(try ask(gateway, "GET", "/metrics").body.utf8.count == 20 << 20)
        }
    }

    @Test func requestInPiecesIsUnderstoodAndOneThatNeverEndsIsCut() throws {
        try withGateway { gateway throws in
            let connection = try TestConnection(port: gateway.metricsPort)
            for piece in ["GET /heal", "thz HTTP/1.1\r", "\nHost: a\r\n\r", "\n"] { connection.send(piece) }
            #expect(try connection.receive().hasPrefix("HTTP/1.1 200 "))
            let endless = try TestConnection(port: gateway.metricsPort)
            endless.send("GET /" + String(repeating: "a", count: AdminRequest.sizeLimit))
            #expect(try endless.receive().hasPrefix("HTTP/1.1 431 "))
        }
    }

    @Test func silentClientIsToldAndClosed() throws {
        try withGateway(patienceMs: 20) { gateway throws in
            let connection = try TestConnection(port: gateway.metricsPort)
            connection.send("GET /metrics HTTP/1.1\r\n")
            #expect(try connection.receive().hasPrefix("HTTP/1.1 408 "))
        }
    }

    /// More silent clients than are served at once, none of which is ever cut, do not hold up the Unix socket.
    @Test func silentClientsOfMetricsDoNotHoldUpTheSocket() throws {
        try withGateway(patienceMs: 3_600_000) { gateway in
            let silent = try silentClients(gateway)
            #expect(try ask(gateway, "GET", "/status").status == 200)
            withExtendedLifetime(silent) {}
        }
    }

    /// Nor, for longer than their time, those who come after them.
    @Test func silentClientsMakeRoomForLaterOnes() throws {
        try withGateway(patienceMs: 50) { gateway in
            let silent = try silentClients(gateway)
            let late = try TestConnection(port: gateway.metricsPort)
            late.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try late.receive().hasPrefix("HTTP/1.1 200 "))
            withExtendedLifetime(silent) {}
        }
    }

    private func silentClients(_ gateway: TestGateway) throws -> [SilentClient] {
        try (0..<AdminServer.connectionLimit + 4).map { _ in
            SilentClient(try TestConnection(port: gateway.metricsPort))
        }
    }

    private final class SilentClient {
        let connection: TestConnection
        init(_ connection: consuming TestConnection) { self.connection = connection }
    }

    @Test func socketIsItsOwnersAlone() throws {
        try withGateway { gateway throws in
            var information = stat()
            #expect(lstat(gateway.socket, &information) == 0)
            #expect(information.st_mode & 0o777 == 0o600)
            #expect(information.st_mode & S_IFMT == S_IFSOCK)
        }
    }

    @Test func secondGatewayIsRefusedAndTheFirstOneStays() throws {
        try withGateway { gateway throws in
            let plane = Silent()
            let second = AdminServer(plane: plane)
            defer { second.close() }
            let error = #expect(throws: AdminError.self) { try second.listen(path: gateway.socket) }
            #expect(error?.description.contains("a running gateway answers there") == true)
            #expect(try ask(gateway, "GET", "/status").status == 200)
        }
    }

    @Test func socketOfADeadProcessIsTakenOver() throws {
        let directory = try TestGateway.temporaryDirectory()
        defer { rmdir(directory) }
        let path = directory + "/sluice.sock"
        // Closed without taking its file away, as by a process that was killed.
        close(try AdminSocket.listen(path: path))
        #expect(throws: AdminError.self) { try AdminClient.request("GET", "/status", socket: path) }
        let gateway = try TestGateway(socket: path)
        #expect(try ask(gateway, "GET", "/status").status == 200)
        gateway.stop()
        #expect(access(path, F_OK) != 0)
    }

    @Test func fileThatIsNoSocketIsLeftAlone() throws {
        let directory = try TestGateway.temporaryDirectory()
        defer { rmdir(directory) }
        let path = directory + "/sluice.sock"
        close(open(path, O_CREAT | O_WRONLY, 0o600))
        let error = #expect(throws: AdminError.self) { try AdminSocket.listen(path: path) }
        #expect(error?.description.contains("no socket") == true)
        #expect(unlink(path) == 0)
    }

    @Test func socketThatCannotBeSaysWhy() throws {
        let long = "/tmp/" + String(repeating: "a", count: 200)
        let tooLong = #expect(throws: AdminError.self) { try AdminSocket.listen(path: long) }
        #expect(tooLong?.description.contains("1 to 107 bytes") == true)
        #expect(throws: AdminError.self) { try AdminSocket.listen(path: "") }
        #expect(throws: AdminError.self) { try AdminSocket.listen(path: "/nonexistent-a/b/c.sock") }
        #expect(throws: AdminError.self) { try AdminSocket.listen(host: "localhost", port: 0) }
    }

    @Test func metricsListenerMovesAndStaysWhereItCannot() throws {
        let plane = Silent()
        let server = AdminServer(plane: plane)
        defer { server.close() }
        let first = try #require(try server.listenForMetrics(at: ("127.0.0.1", 0)))
        // The same place again is the same socket.
        #expect(try server.listenForMetrics(at: ("127.0.0.1", 0)) == first)
        let taken = try AdminSocket.listen(host: "127.0.0.1", port: 0)
        #expect(throws: AdminError.self) { try server.listenForMetrics(at: ("127.0.0.1", taken.port)) }
        _ = try TestConnection(port: first)
        close(taken.descriptor)
        #expect(try server.listenForMetrics(at: ("127.0.0.1", taken.port)) == taken.port)
        #expect(throws: AdminError.self) { _ = try TestConnection(port: first) }
        #expect(try server.listenForMetrics(at: nil) == nil)
        #expect(throws: AdminError.self) { _ = try TestConnection(port: taken.port) }
    }

    /// What is read in a turn may be a reload that closes a listener at which somebody waits in the same turn.
    @Test func aReloadMayTakeAListenerAwayInTheMiddleOfATurn() throws {
        final class Closing: ControlPlane {
            weak var server: AdminServer?
            var reloads = 0
            func status() -> StatusReport { StatusReport() }
            func reload() -> ReloadOutcome {
                reloads += 1
                _ = try? server?.listenForMetrics(at: nil)
                return ReloadOutcome(succeeded: true, generation: 0, diagnostics: [])
            }
            func metricsText() -> [UInt8] { [] }
        }
        let directory = try TestGateway.temporaryDirectory()
        let plane = Closing()
        let server = AdminServer(plane: plane)
        plane.server = server
        defer {
            server.close()
            rmdir(directory)
        }
        try server.listen(path: directory + "/a.sock")
        let port = try #require(try server.listenForMetrics(at: ("127.0.0.1", 0)))
        let asks = try TestConnection(path: directory + "/a.sock")
        asks.send("POST /reload HTTP/1.1\r\nHost: a\r\n\r\n")
        let scrapes = try TestConnection(port: port)
        scrapes.send("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")
        server.turn()
        #expect(plane.reloads == 1)
        // Both stay open until here.
        asks.send("")
        scrapes.send("")
    }

    private final class Silent: ControlPlane {
        func status() -> StatusReport { StatusReport() }
        func reload() -> ReloadOutcome { ReloadOutcome(succeeded: true, generation: 0, diagnostics: []) }
        func metricsText() -> [UInt8] { [] }
    }
}
