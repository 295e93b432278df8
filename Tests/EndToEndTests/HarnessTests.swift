import Testing

extension EndToEnd {
    /// The harness is what the other suites trust, so it is tried against itself first.
    @Suite struct Harness {
        @Test func backendAndReaderAgree() throws {
            let backend = try ScriptedBackend.ordinary()
            let socket = try Socket.connect(port: backend.port)
            socket.send("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX: y\r\n\r\n")
            socket.send("GET /b HTTP/1.1\r\n\r\n")
            let reader = MessageReader(socket)
            #expect(try reader.response()?.bodyText == "POST /a 3")
            #expect(try reader.response()?.bodyText == "GET /b 0")
            #expect(backend.requests.first?.trailers.first?.name == "X")
            #expect(backend.connectionCount == 1)
        }

        @Test func interimAndUnfinishedResponsesAreTold() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.1 103 Early\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            }
            let socket = try Socket.connect(port: backend.port)
            socket.send("GET / HTTP/1.1\r\n\r\n")
            let response = try #require(try MessageReader(socket).response())
            #expect(response.interim == [103])
            #expect(response.complete == false)
            #expect(response.bodyText == "half")
        }

        @Test func outputAndExitCodeOfAProcess() throws {
            let result = try ChildProcess.run("sh", ["-c", "echo out; echo err >&2; exit 3"])
            #expect(result.status == 3)
            #expect(result.output == "out\n")
            #expect(result.errors == "err\n")
            let sleeper = try ChildProcess("sleep", ["60"])
            sleeper.signal(15)
            #expect(try sleeper.wait() == -15)
        }
    }
}
