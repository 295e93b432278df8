import Testing

extension EndToEnd {
    /// A filter is shown how large an answer that streams is going to be, where its head says so.
    @Suite struct AnnouncedSizes {
        @Test func aFilterKnowsWhatTheHeadAnnounces() throws {
            let backend = try ScriptedBackend { connection, request in
                switch request.target {
                case "/chunked":
                    connection.socket.send(
                        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
                case "/none": connection.answer(204, "")
                default: connection.answer(200, String(repeating: "x", count: 70_000))
                }
            }
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.source, "sizes.so", in: directory)
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.plugins = ["  - { name: sizes, library: \(library) }"]
            configuration.filters = ["sizes"]
            let gateway = try Gateway(configuration)
            #expect(try gateway.get("/large").field("x-announced") == "70000")
            #expect(try gateway.get("/chunked").field("x-announced") == "\(UInt64.max)")
            #expect(try gateway.get("/none").field("x-announced") == "0")
        }

        /// Whatever the endpoint speaks, a chunked body passes by the filters that want to see it.
        @Test(arguments: [false, true]) func aFilterSeesTheChunksOfARequest(_ isHTTP2: Bool) throws {
            let http2 = { @Sendable (_: Int, peer: HTTP2Client) in
                while let stream = try peer.nextRequest() { peer.respond(stream) }
            }
            let backend = try isHTTP2 ? ScriptedBackend.http2(http2) : ScriptedBackend.ordinary()
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.counting, "counting.so", in: directory)
            var configuration = GatewayConfiguration.web([isHTTP2 ? backend.grpcEndpoint : backend.endpoint])
            configuration.plugins = ["  - { name: counting, library: \(library) }"]
            configuration.filters = ["counting"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.exchange(
                "POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                    + "5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", method: "POST")
            #expect(answer.field("x-seen") == "11")
        }

        private static let counting = CompiledPlugin.filter(
            "counting", needs: "SLUICE_FILTER_CHUNKS", callbacks: ["on_chunk", "on_response"],
            """
            static _Thread_local size_t seen;
            static sluice_status on_chunk(void *instance, sluice_exchange *exchange, uint32_t side,
                                          sluice_bytes chunk) {
              (void)instance, (void)exchange;
              if (side == SLUICE_SIDE_REQUEST) seen += chunk.size;
              return SLUICE_OK;
            }
            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *response) {
              (void)instance, (void)request, (void)response;
              char text_[32];
              snprintf(text_, sizeof text_, "%zu", seen);
              return exchanges->set_field(context, exchange, SLUICE_SIDE_RESPONSE, text("x-seen"), text(text_));
            }
            """)

        private static let source = CompiledPlugin.filter(
            "sizes", callbacks: ["on_response"],
            """
            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *response) {
              (void)instance, (void)request;
              char size[32];
              snprintf(size, sizeof size, "%llu", (unsigned long long)response->message->body_size);
              return exchanges->set_field(context, exchange, SLUICE_SIDE_RESPONSE, text("x-announced"), text(size));
            }
            """)
    }
}
