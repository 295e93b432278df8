import Testing

extension EndToEnd {
    /// What goes through `passthrough` unchanged, and what must change on the way.
    @Suite struct Messages {
        private func proxied(
            _ backend: ScriptedBackend, _ change: (inout GatewayConfiguration) -> Void = { _ in }
        ) throws -> Gateway {
            var configuration = GatewayConfiguration.web([backend.endpoint])
            change(&configuration)
            return try Gateway(configuration)
        }

        @Test func pipelinedRequestsAreAnsweredInOrder() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            socket.send((0..<20).map { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" }.joined())
            let reader = MessageReader(socket)
            for index in 0..<20 {
                #expect(try reader.response()?.bodyText == "GET /\(index) 0")
            }
        }

        @Test func pipelinedBodiesKeepTheirBounds() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            let chunked =
                "POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nwxyz\r\n3\r\nabc\r\n0\r\n\r\n"
            let sized = "POST /s HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
            socket.send(chunked + sized + chunked + "GET /g HTTP/1.1\r\nHost: a\r\n\r\n")
            let reader = MessageReader(socket)
            for expected in ["POST /c 7", "POST /s 5", "POST /c 7", "GET /g 0"] {
                #expect(try reader.response()?.bodyText == expected)
            }
            #expect(backend.requests.map { text($0.body) } == ["wxyzabc", "hello", "wxyzabc", ""])
        }

        @Test func aRequestInSingleBytesIsTheSameRequest() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            let request =
                "POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                + "1a;x=y\r\nabcdefghijklmnopqrstuvwxyz\r\n0\r\nT: 1\r\n\r\n"
            for byte in bytes(request) { #expect(socket.send([byte])) }
            #expect(try MessageReader(socket).response()?.bodyText == "POST /x 26")
            #expect(backend.requests.first?.trailers.first?.value == "1")
        }

        @Test func trailersPassBothWays() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
                        + "3\r\nabc\r\n0\r\nX-Sum: 6\r\n\r\n"
                )
            }
            let gateway = try proxied(backend)
            let response = try gateway.exchange(
                "POST / HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "2\r\nhi\r\n0\r\nX-In: 7\r\n\r\n",
                method: "POST")
            #expect(response.bodyText == "abc")
            #expect(response.trailers.map(\.value) == ["6"])
            #expect(backend.requests.first?.trailers.map(\.value) == ["7"])
        }

        @Test func headHasALengthAndNoBody() throws {
            let backend = try ScriptedBackend { connection, request in
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
                connection.socket.send(request.method == "HEAD" ? head : head + "after")
            }
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            socket.send("HEAD /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n")
            let reader = MessageReader(socket)
            let head = try #require(try reader.response(to: "HEAD"))
            #expect(head.field("content-length") == "5")
            #expect(try reader.response()?.bodyText == "after")
        }

        @Test(arguments: [204, 304]) func bodilessStatusesEndAtTheirHead(status: Int) throws {
            let backend = try ScriptedBackend { connection, request in
                connection.socket.send(
                    request.target == "/none"
                        ? "HTTP/1.1 \(status) Nothing\r\nETag: \"x\"\r\n\r\n"
                        : "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
            }
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            socket.send("GET /none HTTP/1.1\r\nHost: a\r\n\r\nGET /some HTTP/1.1\r\nHost: a\r\n\r\n")
            let reader = MessageReader(socket)
            let first = try #require(try reader.response())
            #expect(first.status == status)
            #expect(first.field("transfer-encoding") == nil)
            #expect(try reader.response()?.bodyText == "hi")
        }

        @Test func aClientThatExpectsContinueGetsIt() throws {
            // A proxy passes the expectation on, and a server of HTTP/1.1 answers it (RFC 9110, section 10.1.1).
            let backend = try ScriptedBackend { connection in
                guard let head = try connection.reader.head(.ordinary) else { return }
                if head.field("expect") != nil { connection.socket.send("HTTP/1.1 100 Continue\r\n\r\n") }
                let body = try connection.reader.take(4, .ordinary)
                connection.answer(200, "POST /e \(body?.count ?? 0)")
            }
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            socket.send("POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
            let reader = MessageReader(socket)
            #expect(try reader.head(.ordinary)?.status == 100)
            socket.send("body")
            let response = try #require(try reader.response(to: "POST"))
            #expect(response.bodyText == "POST /e 4")
            #expect(response.interim.isEmpty)
        }

        @Test func aClientThatDoesNotWaitForContinueIsServed() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            socket.send("POST /e HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
            socket.send("GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
            let reader = MessageReader(socket)
            #expect(try reader.response(to: "POST")?.bodyText == "POST /e 4")
            #expect(try reader.response()?.bodyText == "GET /next 0")
        }

        @Test func interimResponsesPass() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n")
                connection.answer(200, "done")
            }
            let gateway = try proxied(backend)
            let response = try gateway.get("/")
            #expect(response.interim == [103, 102])
            #expect(response.bodyText == "done")
            // A client of HTTP/1.0 knows no interim responses (RFC 9110, section 15.2).
            let old = try gateway.exchange("GET / HTTP/1.0\r\nHost: a\r\n\r\n")
            #expect(old.interim.isEmpty)
            #expect(old.bodyText == "done")
        }

        @Test func fieldsOfAConnectionStayOnIt() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.answer(
                    200, "ok",
                    fields: ["Connection: X-Hop, keep-alive", "X-Hop: 1", "Keep-Alive: timeout=5", "X-End: 2"])
            }
            let gateway = try proxied(backend)
            let response = try gateway.get(
                "/",
                fields: [
                    "Connection: x-private", "X-Private: 1", "Keep-Alive: timeout=1", "Proxy-Connection: keep-alive",
                    "TE: gzip", "Upgrade: websocket", "X-Public: 2", "x-public: 3",
                ])
            #expect(response.status == 200)
            #expect(response.field("x-hop") == nil)
            #expect(response.field("keep-alive") == nil)
            #expect(response.field("x-end") == "2")
            let request = try #require(backend.requests.first)
            for name in ["x-private", "keep-alive", "proxy-connection", "upgrade", "te"] {
                #expect(request.field(name) == nil, "\(name) reached the backend")
            }
            #expect(request.all("x-public") == ["2", "3"])
            #expect(request.field("host") == "test")
        }

        @Test func closeIsHonouredAndSaid() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            socket.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            let response = try #require(try MessageReader(socket).response())
            #expect(response.field("connection")?.lowercased() == "close")
            #expect(socket.closedByPeer())
        }

        @Test func clientsOfHTTP10AreServed() throws {
            let backend = try ScriptedBackend { connection, _ in
                connection.socket.send(
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n3\r\ndef\r\n0\r\n\r\n")
            }
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.0\r\n\r\n")
            let reader = MessageReader(socket)
            let response = try #require(try reader.response())
            #expect(response.status == 200)
            // It knows no chunks: the end of the connection ends the body.
            #expect(response.field("transfer-encoding") == nil)
            #expect(response.bodyText == "abcdef")
        }

        @Test func aBodyThatEndsWithTheConnectionIsFramedForTheClient() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                connection.socket.send("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nall of it")
            }
            let gateway = try proxied(backend)
            let socket = try gateway.connect()
            socket.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            let response = try #require(try MessageReader(socket).response())
            #expect(response.bodyText == "all of it")
            #expect(response.field("transfer-encoding") == "chunked" || response.field("content-length") == "9")
        }

        @Test func unixSocketsOnBothSides() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary(path: directory.file("backend.sock"))
            let gateway = try proxied(backend) { $0.listeners.append("unix:\(directory.file("gateway.sock"))") }
            let socket = try Socket.connect(path: directory.file("gateway.sock"))
            socket.send("GET /over-unix HTTP/1.1\r\nHost: a\r\n\r\n")
            #expect(try MessageReader(socket).response()?.bodyText == "GET /over-unix 0")
            #expect(try gateway.get("/over-tcp").bodyText == "GET /over-tcp 0")
        }

        @Test func targetsPassAsTheyWere() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try proxied(backend)
            for target in ["/a%2Fb/%7e", "/?q=a%20b&x=%00", "/a/../b", "//double", "/;p=1", "/*"] {
                #expect(try gateway.get(target).bodyText == "GET \(target) 0")
            }
            #expect(try gateway.exchange("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").status < 500)
        }

        @Test func methodsPassAsTheyWere() throws {
            let backend = try ScriptedBackend.ordinary()
            let gateway = try proxied(backend)
            for method in ["PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "M-SEARCH"] {
                let response = try gateway.exchange("\(method) /m HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
                #expect(response.bodyText == "\(method) /m 0")
            }
        }
    }
}
