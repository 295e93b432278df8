import Foundation
import Testing

extension EndToEnd {
    /// What waits at a listener that goes, by a reload or at the end, is served as it would have been.
    @Suite struct ListenerReload {
        private let directory: TemporaryDirectory
        private let backend: ScriptedBackend
        private var configuration: GatewayConfiguration

        init() throws {
            directory = try TemporaryDirectory()
            backend = try ScriptedBackend.ordinary()
            let library = try CompiledPlugin.c(
                Self.holding(directory.file("held"), directory.file("release")), "holding.so", in: directory)
            configuration = GatewayConfiguration.web([backend.endpoint])
            configuration.workers = 1
            configuration.router = "holding"
            configuration.plugins = ["  - { name: holding, library: \(library) }"]
        }

        /// Runs `work` while the only worker stands still, so that nothing is accepted meanwhile.
        private func whileHeld(_ gateway: Gateway, _ work: () throws -> Void) throws {
            let holding = try gateway.connect()
            holding.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n")
            try waitUntil("the worker is held") {
                FileManager.default.fileExists(atPath: directory.file("held"))
            }
            try work()
            try directory.write("release", "")
            #expect(try MessageReader(holding).response()?.status == 200)
        }

        @Test func aListenerOfTLSSpeaksItToTheEnd() throws {
            let certificates = try Certificates()
            try certificates.make("server", "DNS:localhost")
            var both = configuration
            // An address of its own: listeners are told apart by what is written.
            let place = "127.0.0.1:\(try Ports.free())"
            let secured = certificates.listener("server").replacing("127.0.0.1:0", with: place)
            both.listeners = ["127.0.0.1:0", secured]
            let gateway = try Gateway(both)
            var late: TLSClient?
            try whileHeld(gateway) {
                var one = both
                one.listeners.removeLast()
                try gateway.write(one)
                #expect(try gateway.reload().status == 0)
                // The worker has not heard of it yet.
                late = try TLSClient(port: gateway.ports[1])
            }
            let client = try #require(late)
            #expect(client.shakeHands() == nil)
            #expect(try client.get("/a").hasPrefix("HTTP/1.1 200"))
            #expect(throws: HarnessError.self) { _ = try Socket.connect(port: gateway.ports[1]) }
        }

        @Test(arguments: [false, true]) func whatWaitsAtAUnixSocketIsServed(_ ends: Bool) throws {
            var both = configuration
            let path = directory.file("gateway.sock")
            both.listeners = ["127.0.0.1:0", "unix:\(path)"]
            let gateway = try Gateway(both)
            var waiting: Socket?
            try whileHeld(gateway) {
                waiting = try Socket.connect(path: path)
                waiting?.send("GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                if ends {
                    gateway.process.signal(SIGTERM)
                    try waitUntil("the address is free") { !FileManager.default.fileExists(atPath: path) }
                } else {
                    var one = both
                    one.listeners.removeLast()
                    try gateway.write(one)
                    #expect(try gateway.reload().status == 0)
                }
            }
            #expect(try MessageReader(#require(waiting)).response()?.bodyText == "GET /a 0")
            #expect(!FileManager.default.fileExists(atPath: path))
            #expect(throws: HarnessError.self) { _ = try Socket.connect(path: path) }
            if ends {
                #expect(try gateway.process.wait() == 0)
            } else {
                #expect(try gateway.stop() == 0)
            }
        }

        /// Where one socket cannot be opened, the other is not moved either.
        @Test func aRefusedReloadLeavesTheAdminSocketWhereItIs() throws {
            let gateway = try Gateway(configuration)
            let (taken, port) = try Socket.listen()
            defer { taken.close() }
            let text = configuration.text(in: gateway.directory)
                .replacing("admin.sock", with: "other.sock").replacing("metrics_port: 0", with: "metrics_port: \(port)")
            try gateway.directory.write("plugins.yaml", text)
            let refused = try gateway.reload()
            #expect(refused.status == 1, "\(refused)")
            #expect(!FileManager.default.fileExists(atPath: gateway.directory.file("other.sock")))
            try gateway.write(configuration)
            #expect(try gateway.reload().status == 0)
        }

        /// Holds the worker in a request for `/hold` until the file `release` is there.
        private static func holding(_ held: String, _ release: String) -> String {
            CompiledPlugin.source(
                "holding", tables: ["SLUICE_ROUTER": "router"],
                """
                static sluice_status route(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                           sluice_route_decision *decision) {
                  (void)instance, (void)exchange;
                  decision->version = 0;
                  sluice_bytes path = request->message->path;
                  if (path.size != 5 || memcmp(path.data, "/hold", 5) != 0) return SLUICE_OK;
                  FILE *file = fopen("\(held)", "w");
                  if (file) fclose(file);
                  for (int i = 0; i < 60000 && access("\(release)", F_OK) != 0; i++) poll(NULL, 0, 1);
                  return SLUICE_OK;
                }
                static const sluice_router router = {
                    .base = {.struct_size = sizeof(sluice_router), .create = no_state, .destroy = no_end},
                    .route = route};
                """)
        }
    }
}
