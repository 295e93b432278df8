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
