import Testing

extension EndToEnd {
    /// A request toward an endpoint has exactly one Host (RFC 9112 §3.2), whatever plugins do.
    @Suite struct HostFields {
        private static func gateway(_ backend: ScriptedBackend, _ directory: TemporaryDirectory) throws -> Gateway {
            let library = try CompiledPlugin.c(source, "hosts.so", in: directory)
            var configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.plugins = ["  - { name: hosts, library: \(library) }"]
            configuration.filters = ["hosts"]
            return try Gateway(configuration)
        }

        @Test func whatAPluginSetsTakesThePlaceOfTheOthers() throws {
            let backend = try ScriptedBackend.ordinary()
            let directory = try TemporaryDirectory()
            let gateway = try Self.gateway(backend, directory)
            for head in ["GET / HTTP/1.1\r\nHost: mine\r\n", "GET / HTTP/1.0\r\n", "GET / HTTP/1.0\r\nHost: mine\r\n"] {
                for host in ["a.test", "a.test:8080", "[::1]:80"] {
                    let answer = try gateway.exchange("\(head)X-Set: \(host)\r\n\r\n")
                    #expect(answer.field("x-done") == "0")
                    #expect(backend.requests.last?.all("host") == [host], "\(head)")
                }
            }
            let client = try gateway.http2()
            client.request(1, "GET", "/", fields: [("x-set", "a.test")])
            #expect(try client.answer(1).field("x-done") == "0")
            #expect(backend.requests.last?.all("host") == ["a.test"])
        }

        @Test func anythingElseIsRefusedAndTheHostStays() throws {
            let backend = try ScriptedBackend.ordinary()
            let directory = try TemporaryDirectory()
            let gateway = try Self.gateway(backend, directory)
            let wrong = ["a b", "", "a/b", "u@a", "a:99999", "a,b"].map { "X-Set: \($0)" }
            for edit in ["X-Add: a.test", "X-Remove: 1"] + wrong {
                let answer = try gateway.exchange("GET / HTTP/1.1\r\nHost: mine\r\n\(edit)\r\n\r\n")
                #expect(answer.field("x-done") == "-3", "\(edit)")
                #expect(backend.requests.last?.all("host") == ["mine"], "\(edit)")
                #expect(try gateway.exchange("GET / HTTP/1.0\r\n\(edit)\r\n\r\n").field("x-done") == "-3", "\(edit)")
                #expect(backend.requests.last?.all("host") == ["127.0.0.1:\(backend.port)"], "\(edit)")
            }
        }

        /// Does with Host what one field of the request says, and tells what came of it in `X-Done`.
        private static let source = CompiledPlugin.filter(
            "hosts", callbacks: ["on_request"],
            """
            static sluice_status on_request(
                void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
              (void)instance, (void)request, (void)answer;
              const sluice_fields *fields = service(SLUICE_FIELDS);
              sluice_status status = SLUICE_OK;
              bool sets = false, adds = false, removes = false;
              sluice_bytes set = exchanges->header(context, exchange, text("x-set"), &sets);
              sluice_bytes add = exchanges->header(context, exchange, text("x-add"), &adds);
              exchanges->header(context, exchange, text("x-remove"), &removes);
              if (sets) {
                if (set.data == NULL) set = text("");
                status = exchanges->set_field(context, exchange, SLUICE_SIDE_REQUEST, text("Host"), set);
              } else if (adds) {
                status = fields->add(context, exchange, SLUICE_SIDE_REQUEST, text("HOST"), add);
              } else if (removes) {
                status = exchanges->set_field(context, exchange, SLUICE_SIDE_REQUEST, text("host"),
                                              (sluice_bytes){NULL, 0});
              }
              char done[16];
              snprintf(done, sizeof done, "%d", (int)status);
              return exchanges->set_field(context, exchange, SLUICE_SIDE_RESPONSE, text("x-done"), text(done));
            }
            """)
    }
}
