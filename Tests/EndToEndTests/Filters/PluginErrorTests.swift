import Testing

extension EndToEnd {
    /// What a client reads of an error whose reason a plugin has told.
    @Suite struct PluginErrors {
        private static func gateway(_ directory: TemporaryDirectory) throws -> Gateway {
            let library = try CompiledPlugin.c(source, "failing.so", in: directory)
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            configuration.plugins = ["  - { name: failing, library: \(library) }"]
            configuration.filters = ["failing"]
            return try Gateway(configuration)
        }

        /// Half a character would cost all of the reason.
        @Test(arguments: ["x", "\u{e9}", "\u{20ac}", "\u{1f600}"])
        func aLongReasonIsCutBetweenTwoCharacters(character: String) throws {
            let directory = try TemporaryDirectory()
            let gateway = try Self.gateway(directory)
            for before in 1_019...1_025 {
                let answer = try gateway.get("/long", fields: ["X-Before: \(before)", "X-Character: \(character)"])
                var expected = String(repeating: "x", count: min(before, 1_024))
                let room = 1_024 - before - character.utf8.count
                if room >= 0 { expected += character + String(repeating: "y", count: room) }
                #expect(answer.status == 403)
                #expect(try JSON(answer.bodyText)["detail"].text == expected, "behind \(before) letters")
            }
        }

        @Test func aReasonWithoutDataIsNone() throws {
            let directory = try TemporaryDirectory()
            let answer = try Self.gateway(directory).get("/none")
            #expect(answer.status == 403)
            #expect(try JSON(answer.bodyText)["detail"].text == "the request was refused")
        }

        private static let source = CompiledPlugin.filter(
            "failing", callbacks: ["on_request"],
            """
            static sluice_status on_request(
                void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
              (void)instance, (void)answer;
              const sluice_log *log = service(SLUICE_LOG);
              if (request->message->path.size == 5 && memcmp(request->message->path.data, "/none", 5) == 0) {
                log->fail(context, text("an earlier reason"));
                log->fail(context, (sluice_bytes){NULL, 30});
                return SLUICE_PERMISSION_DENIED;
              }
              static char reason[4096];
              bool found = false;
              sluice_bytes before = exchanges->header(context, exchange, text("x-before"), &found);
              sluice_bytes character = exchanges->header(context, exchange, text("x-character"), &found);
              size_t count = (size_t)strtoul((const char *)before.data, NULL, 10);
              memset(reason, 'y', sizeof reason);
              memset(reason, 'x', count);
              memcpy(reason + count, character.data, character.size);
              log->fail(context, (sluice_bytes){(const uint8_t *)reason, sizeof reason});
              return SLUICE_PERMISSION_DENIED;
            }
            """)
    }
}
