import Testing

extension EndToEnd {
    /// An error that its adapter cannot shape is told all the same.
    @Suite struct ErrorShapes {
        /// Whatever the code of the error: INTERNAL is one like the others.
        @Test(arguments: ["15", "13", "3"]) func aClientIsAlwaysAnswered(code: String) throws {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.source, "shapeless.so", in: directory)
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.adapters = ["shapeless"]
            configuration.plugins = ["  - { name: shapeless, library: \(library) }"]
            let gateway = try Gateway(configuration)
            for target in ["/status", "/field"] {
                let answer = try gateway.get(target, fields: ["X-Code: \(code)"])
                #expect(answer.status == 500, "\(target)")
                #expect(try JSON(answer.bodyText)["error"].text?.hasPrefix("a plugin ") == true)
            }
            #expect(try gateway.metric("sluice_call_errors_total", ["plugin=\"shapeless\""]) == 2)
        }

        private static let source = CompiledPlugin.source(
            "shapeless", tables: ["SLUICE_ADAPTER": "adapter"],
            """
            static void *context;
            static const sluice_exchange_service *exchanges;
            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)arguments;
              context = host->context;
              exchanges = host->service(context, text(SLUICE_EXCHANGE));
              *instance = NULL;
              return SLUICE_OK;
            }
            static sluice_status decode(void *instance, sluice_exchange *exchange, uint32_t stage,
                                        const sluice_match *match, sluice_request *request) {
              (void)instance, (void)stage, (void)match, (void)request;
              bool found = false;
              sluice_bytes code = exchanges->header(context, exchange, text("x-code"), &found);
              char digits[4] = {0};
              memcpy(digits, code.data, code.size < 3 ? code.size : 3);
              return -(sluice_status)strtoul(digits, NULL, 10);
            }
            static sluice_status encode_error(void *instance, sluice_exchange *exchange,
                                              const sluice_request *request, const sluice_error *error,
                                              sluice_message *out) {
              (void)instance, (void)exchange;
              if (request->message->path.data[1] == 's') {
                out->status = 99;
                return SLUICE_OK;
              }
              static const sluice_field fields[] = {{SLUICE_TEXT("a b"), SLUICE_TEXT("c")}};
              out->status = error->http_status;
              out->fields = fields;
              out->field_count = 1;
              return SLUICE_OK;
            }
            \(CompiledPlugin.adapter(create: "create", callbacks: ["decode", "encode_error"]))
            """)
    }
}
