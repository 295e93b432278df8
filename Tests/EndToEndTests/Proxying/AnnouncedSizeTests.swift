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

        private static let source = """
            #include "sluice/plugin.h"
            #include <stdio.h>
            #include <string.h>

            static void *context;
            static const sluice_exchange_service *service;
            static sluice_bytes text(const char *literal) {
              sluice_bytes bytes = {(const uint8_t *)literal, strlen(literal)};
              return bytes;
            }
            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)arguments;
              context = host->context;
              service = host->service(context, text(SLUICE_EXCHANGE));
              *instance = NULL;
              return SLUICE_OK;
            }
            static void destroy(void *instance) { (void)instance; }
            static uint32_t needs(void *instance) {
              (void)instance;
              return 0;
            }
            static sluice_status on_request(void *instance, sluice_exchange *exchange, sluice_request *request,
                                            sluice_response *answer) {
              (void)instance, (void)exchange, (void)request, (void)answer;
              return SLUICE_OK;
            }
            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *response) {
              (void)instance, (void)request;
              char size[32];
              snprintf(size, sizeof size, "%llu", (unsigned long long)response->message->body_size);
              return service->set_field(context, exchange, SLUICE_SIDE_RESPONSE, text("x-announced"), text(size));
            }
            static const sluice_filter filter = {
                .base = {sizeof(sluice_filter), SLUICE_INSTANCE_PER_WORKER, create, destroy},
                .needs = needs, .on_request = on_request, .on_response = on_response};
            static const sluice_extension extensions[] = {{SLUICE_TEXT(SLUICE_FILTER), &filter}};
            static const sluice_plugin plugin = {
                .struct_size = sizeof(sluice_plugin), .abi_version = SLUICE_ABI_VERSION,
                .name = SLUICE_TEXT("sizes"), .version = SLUICE_TEXT("1"), .vendor = SLUICE_TEXT("t"),
                .licence = SLUICE_TEXT("t"), .extensions = extensions, .extension_count = 1};
            const sluice_plugin *sluice_plugin_entry(uint32_t version) {
              (void)version;
              return &plugin;
            }
            """
    }
}
