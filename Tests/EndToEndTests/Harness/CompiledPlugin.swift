import Foundation

/// Plugins that tests compile, as their authors would: with a C compiler and the header alone.
enum CompiledPlugin {
    static var headerDirectory: String { Clients.root + "/Sources/PluginAPI/ABI/include" }

    /// Compiles C source into `name` in `directory`, closed to other writers.
    @discardableResult
    static func c(
        _ source: String, _ name: String, in directory: TemporaryDirectory, flags: [String] = []
    ) throws -> String {
        let input = try directory.write(name + ".c", source)
        let output = directory.file(name)
        // Written beside and renamed: a loaded library must not change under the one who reads it.
        let result = try ChildProcess.run(
            "gcc",
            ["-std=c11", "-Wall", "-Wextra", "-Werror", "-O1", "-fPIC", "-shared", "-I", headerDirectory]
                + flags + ["-o", output + ".new", input], .after(seconds: 60))
        guard result.status == 0 else { throw HarnessError("gcc: \(result.errors)") }
        try replace(output, with: output + ".new")
        return output
    }

    static func replace(_ path: String, with new: String) throws {
        guard chmod(new, 0o755) == 0, rename(new, path) == 0 else {
            throw HarnessError("cannot rename \(new): errno \(errno)")
        }
    }

    /// A balancer that always picks the eligible endpoint of the highest (or lowest) index and counts in a state block.
    static func balancer(build: String, highest: Bool) -> String {
        """
        #include <stdlib.h>
        #include "sluice/plugin.h"

        static int instance_;
        static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
          (void)host;
          (void)arguments;
          *instance = &instance_;
          return SLUICE_OK;
        }
        static void destroy(void *instance) { (void)instance; }
        static uint32_t pick(void *instance, sluice_exchange *exchange, const sluice_request *request,
                             const sluice_pick *pick) {
          (void)instance;
          (void)exchange;
          (void)request;
          uint32_t chosen = 0;
          for (uint32_t i = 0; i < pick->count; i++) {
            if (!sluice_pick_eligible(pick, i)) continue;
            chosen = i;
            if (!\(highest ? 1 : 0)) break;
          }
          return chosen;
        }
        static const sluice_balancer balancer = {
            .base = {.struct_size = sizeof(sluice_balancer), .create = create, .destroy = destroy}, .pick = pick};
        static const sluice_extension extensions[] = {{SLUICE_TEXT(SLUICE_BALANCER), &balancer}};
        static const sluice_plugin plugin = {.struct_size = sizeof(sluice_plugin),
                                             .abi_version = SLUICE_ABI_VERSION,
                                             .name = SLUICE_TEXT("edge"),
                                             .version = SLUICE_TEXT("1"),
                                             .vendor = SLUICE_TEXT("acme"),
                                             .licence = SLUICE_TEXT("MIT"),
                                             .build_id = SLUICE_TEXT("\(build)"),
                                             .extensions = extensions,
                                             .extension_count = 1};
        const sluice_plugin *sluice_plugin_entry(uint32_t host) {
          (void)host;
          return &plugin;
        }
        """
    }
}
