import Testing

extension EndToEnd {
    /// Messages that an adapter makes: what they point into, and whom they name.
    @Suite struct MadeMessages {
        private func gateway(_ endpoints: [String] = ["http://127.0.0.1:1"]) throws -> Gateway {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.making, "making.so", in: directory)
            var configuration = GatewayConfiguration()
            configuration.workers = 1
            configuration.adapters = ["making"]
            configuration.plugins = ["  - { name: making, library: \(library) }"]
            configuration.router = nil
            configuration.balancer = "round-robin"
            configuration.gateway = ["  limits: { body_bytes: 65536 }"]
            let list = endpoints.map { "\"\($0)\"" }.joined(separator: ", ")
            configuration.models = [
                "  web:", "    versions:", "      \"1\": { endpoints: [ \(list) ], protocol: making }",
            ]
            return try Gateway(configuration)
        }

        /// The arena has come to its bound, and the next who asks for a buffer of that size would be given this one.
        @Test func anAdoptedBufferStaysWhateverElseTheExchangeHolds() throws {
            let gateway = try gateway()
            for _ in 1...2 {
                let answer = try gateway.get("/buffer")
                #expect(answer.status == 200)
                #expect(answer.body == [UInt8](repeating: UInt8(ascii: "A"), count: 500_000))
                try waitUntil("it is given back") { try gateway.metric("sluice_counted_buffer_bytes") == 0 }
            }
        }

        /// The adapter is told of the first endpoint; each gets its own name.
        @Test func eachEndpointGetsItsOwnHost() throws {
            let backends = try (0..<2).map { _ in try ScriptedBackend.ordinary() }
            let gateway = try gateway(backends.map(\.endpoint))
            for _ in 0..<4 { #expect(try gateway.get("/asked").status == 200) }
            for backend in backends {
                let name = "127.0.0.1:\(backend.port)"
                #expect(backend.requests.map { $0.field("host") } == [name, name])
                #expect(backend.requests.allSatisfy { $0.target == "/127.0.0.1:\(backends[0].port)" })
            }
        }

        /// Answers from a counted buffer; asks endpoints for what it is told to be their name.
        private static let making = CompiledPlugin.source(
            "making", tables: ["SLUICE_ADAPTER": "adapter"],
            """
            enum { size = 500000 };
            static void *context;
            static const sluice_memory *memory;

            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)arguments;
              context = host->context;
              memory = host->service(context, text(SLUICE_MEMORY));
              *instance = NULL;
              return SLUICE_OK;
            }
            static sluice_status decode(void *instance, sluice_exchange *exchange, uint32_t stage,
                                        const sluice_match *match, sluice_request *request) {
              (void)instance, (void)exchange, (void)stage, (void)match;
              int asks = request->message->path.size == 6;
              request->model = text("web");
              request->operation = asks ? SLUICE_OPERATION_INFER : SLUICE_OPERATION_SERVER_LIVE;
              return SLUICE_OK;
            }
            static sluice_status encode(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                        const sluice_response *response, sluice_message *out) {
              (void)instance, (void)response;
              static sluice_bytes piece;
              out->status = 200;
              if (request->operation == SLUICE_OPERATION_INFER) return SLUICE_OK;
              for (size_t part = 1 << 20; part >= 16; part /= 2)
                while (memory->arena_alloc(context, exchange, part)) continue;
              sluice_buffer *buffer = memory->buffer_new(context, size);
              memset(buffer->data, 'A', size);
              memory->buffer_adopt(context, exchange, buffer);
              sluice_buffer *next = memory->buffer_new(context, size);
              memset(next->data, 'B', size);
              memory->buffer_release(context, next);
              piece.data = buffer->data;
              piece.size = size;
              out->body = &piece;
              out->body_count = 1;
              return SLUICE_OK;
            }
            static sluice_status encode_request(void *instance, sluice_exchange *exchange,
                                                const sluice_request *request, const sluice_target *target,
                                                sluice_message *out) {
              (void)instance, (void)request;
              uint8_t *path = memory->arena_alloc(context, exchange, target->authority.size + 1);
              path[0] = '/';
              memcpy(path + 1, target->authority.data, target->authority.size);
              out->method = text("GET");
              out->target.data = path;
              out->target.size = target->authority.size + 1;
              out->authority = target->authority;
              return SLUICE_OK;
            }
            static sluice_status decode_response(void *instance, sluice_exchange *exchange,
                                                 const sluice_request *request, const sluice_message *in,
                                                 sluice_response *response) {
              (void)instance, (void)exchange, (void)request, (void)in, (void)response;
              return SLUICE_OK;
            }
            \(CompiledPlugin.adapter(
                create: "create", callbacks: ["decode", "encode", "encode_request", "decode_response"]))
            """)
    }
}
