import Testing

extension EndToEnd {
    /// A router that decides for what the configuration does not have.
    @Suite struct AstrayRouters {
        /// Not a 404: the client has asked for what there is.
        @Test(arguments: ["model", "version", "pool"]) func aRouterNamesWhatIsNotThere(part: String) throws {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(Self.router(part), "astray.so", in: directory)
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.plugins = ["  - { name: astray, library: \(library) }"]
            configuration.router = "astray"
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/")
            #expect(answer.status == 500)
            #expect(
                try JSON(answer.bodyText)["detail"].text == "the router named a \(part) that does not exist")
        }

        private static func router(_ part: String) -> String {
            CompiledPlugin.source(
                "astray", tables: ["SLUICE_ROUTER": "router"],
                """
                static sluice_status route(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                           sluice_route_decision *decision) {
                  (void)instance, (void)exchange, (void)request;
                  decision->\(part) = 77;
                  return SLUICE_OK;
                }
                static const sluice_router router = {
                    .base = {.struct_size = sizeof(sluice_router), .create = no_state, .destroy = no_end},
                    .route = route};
                """)
        }
    }
}
