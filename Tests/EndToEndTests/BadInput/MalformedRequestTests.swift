import Testing

extension EndToEnd {
    /// No request is read in two ways: it is refused, or it is forwarded so that only one reading is left.
    @Suite struct MalformedRequests {
        @Test func framing() throws { try check(MalformedRequest.framing) }
        @Test func chunks() throws { try check(MalformedRequest.chunks) }
        @Test func heads() throws { try check(MalformedRequest.heads) }

        private func check(_ table: [MalformedRequest]) throws {
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            // A head or body without an end is refused when its time is up.
            configuration.gateway = ["  limits: { header_timeout_ms: 1000, body_timeout_ms: 1000 }"]
            let gateway = try Gateway(configuration)
            for entry in table {
                let seen = backend.requests.count
                let socket = try gateway.connect()
                socket.send(rawBytes(entry.bytes))
                let reader = MessageReader(socket)
                let first = try? reader.response(.after(seconds: 5))
                let arrived = backend.requests.dropFirst(seen).filter(\.complete)
                    .map { "\($0.method) \($0.target) \($0.bodyText)" }
                let status = first?.status ?? 0

                func expectRefused() {
                    #expect((400..<500).contains(status) || status == 501 || status == 505, "\(entry.name): \(status)")
                    #expect(socket.closedByPeer(.after(seconds: 5)), "\(entry.name): not closed")
                    #expect(arrived.isEmpty, "\(entry.name): the backend got \(arrived)")
                }
                func expectForwarded(_ messages: [String]) {
                    #expect(messages == arrived, "\(entry.name)")
                    #expect(status == 200, "\(entry.name)")
                }
                switch entry.outcome {
                case .refused: expectRefused()
                case .forwarded(let messages): expectForwarded(messages)
                case .refusedOr(let messages):
                    if status == 200, let sole = arrived.first, arrived.count == 1, messages.contains(sole) {
                        expectForwarded([sole])
                    } else {
                        expectRefused()
                    }
                }
                try expectUnambiguous(backend.requests.dropFirst(seen), entry.name)
            }
            // After all of that an honest client is served.
            #expect(try gateway.get("/honest").bodyText == "GET /honest 0")
        }

        /// What reached the backend is framed in one way, names one host, and hides nothing.
        private func expectUnambiguous(_ requests: ArraySlice<HTTPMessage>, _ name: String) throws {
            for request in requests {
                let lengths = request.all("content-length")
                let codings = request.all("transfer-encoding")
                #expect(lengths.count + codings.count <= 1, "\(name): \(request.fields)")
                #expect(codings.allSatisfy { $0 == "chunked" }, "\(name): \(codings)")
                #expect(lengths.allSatisfy { $0.allSatisfy(\.isNumber) }, "\(name): \(lengths)")
                #expect(request.all("host").count == 1, "\(name): \(request.fields)")
                #expect(!request.target.contains("smuggled"), "\(name)")
                #expect(request.fields.allSatisfy { !$0.name.contains(" ") && !$0.value.contains("\r") }, "\(name)")
            }
        }

        /// Scalars below 256 are bytes, so that a table can hold any.
        private func rawBytes(_ text: String) -> [UInt8] {
            text.unicodeScalars.map { UInt8(truncatingIfNeeded: $0.value) }
        }
    }
}
