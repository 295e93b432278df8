import Foundation
import Testing

extension EndToEnd {
    /// A plugin file that is not what it should be is refused with its own message, at start and on reload.
    @Suite struct BadPlugins {
        private struct Entry {
            var name: String
            /// Words of the refusal.
            var words: [String]
            var extra = ""
        }

        private func write(_ directory: TemporaryDirectory) throws -> [Entry] {
            let good = CompiledPlugin.balancer(build: "good", highest: true)
            let path = try CompiledPlugin.c(good, "good.so", in: directory)
            let image = try Data(contentsOf: URL(fileURLWithPath: path))
            func file(_ name: String, _ data: Data, mode: mode_t = 0o755) throws {
                let path = directory.file(name)
                try data.write(to: URL(fileURLWithPath: path))
                chmod(path, mode)
            }
            try file("empty.so", Data())
            try file("text.so", Data("this is no library\n".utf8))
            try file("half.so", image.prefix(image.count / 2))
            var foreign = image
            // e_machine of the ELF header: AArch64 where this machine is x86-64, and the other way round.
            foreign[18] = foreign[18] == 0x3e ? 0xb7 : 0x3e
            try file("foreign.so", foreign)
            try file("open.so", image, mode: 0o777)
            try CompiledPlugin.c("int nothing(void);\nint nothing(void) { return 1; }", "entryless.so", in: directory)
            try CompiledPlugin.c(
                good.replacingOccurrences(of: "SLUICE_ABI_VERSION", with: "(7u << 16)"), "newer.so", in: directory)
            try CompiledPlugin.c(
                "int nobody_has_this(void);\n"
                    + good.replacingOccurrences(
                        of: "return &plugin;", with: "return nobody_has_this() ? &plugin : 0;"),
                "undefined.so", in: directory)
            let constructor = "\n__attribute__((constructor)) static void at_load(void) {"
            try CompiledPlugin.c(good + constructor + " __builtin_trap(); }", "crashing.so", in: directory)
            try CompiledPlugin.c(
                good + constructor + " for (;;) __asm__ volatile(\"\"); }", "hanging.so", in: directory)
            try CompiledPlugin.c(good + constructor + " exit(0); }", "exiting.so", in: directory)
            return [
                Entry(name: "empty.so", words: ["empty.so"]),
                Entry(name: "text.so", words: ["text.so", "ELF"]),
                Entry(name: "half.so", words: ["half.so"]),
                Entry(name: "foreign.so", words: ["foreign.so", "machine"]),
                Entry(name: "open.so", words: ["open.so", "writ"]),
                Entry(name: "entryless.so", words: ["entryless.so", "sluice_plugin_entry"]),
                Entry(name: "newer.so", words: ["newer.so", "ABI"]),
                Entry(name: "undefined.so", words: ["undefined.so", "nobody_has_this"]),
                Entry(name: "crashing.so", words: ["crashing.so"]),
                Entry(name: "hanging.so", words: ["hanging.so"]),
                Entry(name: "exiting.so", words: ["exiting.so"]),
                Entry(
                    name: "good.so", words: ["good.so", "sha256"],
                    extra: ", sha256: " + String(repeating: "0", count: 64)),
            ]
        }

        @Test func refusedAtStartAndOnReload() throws {
            let directory = try TemporaryDirectory()
            let backend = try ScriptedBackend.ordinary()
            var configuration = GatewayConfiguration.web([backend.endpoint])
            let gateway = try Gateway(configuration)
            let client = CheckingClient(
                port: gateway.port, request: { "GET /\($0) HTTP/1.1\r\nHost: a\r\n\r\n" },
                check: { index, answer in answer.bodyText == "GET /\(index) 0" ? nil : "\(answer.status)" })
            var messages: Set<String> = []
            for entry in try write(directory) {
                configuration.plugins = ["  - { name: bad, library: \(directory.file(entry.name))\(entry.extra) }"]
                try gateway.write(configuration)
                let reload = try gateway.reload()
                #expect(reload.status == 1, "\(entry.name): \(reload)")
                let told = reload.output + reload.errors
                for word in entry.words { #expect(told.contains(word), "\(entry.name): \(told)") }
                messages.insert(told.replacingOccurrences(of: directory.path, with: ""))

                try directory.write("plugins.yaml", configuration.text(in: directory))
                let start = try Gateway.command(["serve", "--config", directory.file("plugins.yaml")])
                #expect(start.status == 1, "\(entry.name)")
                for word in entry.words { #expect(start.errors.contains(word), "\(entry.name): \(start.errors)") }

                let inspect = try Gateway.command(["plugin", "inspect", directory.file(entry.name)])
                if entry.extra.isEmpty { #expect(inspect.status == 1, "\(entry.name): \(inspect)") }
            }
            #expect(messages.count == 12)
            let wrong = try client.stop()
            #expect(wrong.isEmpty, "\(wrong.prefix(5))")
            #expect(client.asked > 0)
        }
    }
}
