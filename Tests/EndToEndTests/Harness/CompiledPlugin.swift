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

    /// C source: `body` between what every plugin needs, the function `text`, which makes bytes of a literal, and the
    /// plugin's entry. `no_state` and `no_end` make and end an instance that has none.
    /// - Parameter tables: of the body, by the macro of their kind: `["SLUICE_FILTER": "filter"]`.
    static func source(
        _ name: String, build: String = "", tables: KeyValuePairs<String, String>, _ body: String
    ) -> String {
        let extensions = tables.map { "{SLUICE_TEXT(\($0.key)), &\($0.value)}" }.joined(separator: ", ")
        return """
            #define _DEFAULT_SOURCE
            #include <poll.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <string.h>
            #include <unistd.h>
            #include "sluice/plugin.h"

            static inline sluice_bytes text(const char *literal) {
              sluice_bytes bytes = {(const uint8_t *)literal, strlen(literal)};
              return bytes;
            }
            static inline sluice_status no_state(const sluice_host *host, const sluice_create *arguments,
                                                 void **instance) {
              static int nothing;
              (void)host, (void)arguments;
              *instance = &nothing;
              return SLUICE_OK;
            }
            static inline void no_end(void *instance) { (void)instance; }

            \(body)

            static const sluice_extension extensions[] = {\(extensions)};
            static const sluice_plugin plugin = {.struct_size = sizeof(sluice_plugin),
                                                 .abi_version = SLUICE_ABI_VERSION,
                                                 .name = SLUICE_TEXT("\(name)"),
                                                 .version = SLUICE_TEXT("1"),
                                                 .vendor = SLUICE_TEXT("acme"),
                                                 .licence = SLUICE_TEXT("MIT"),
                                                 .build_id = SLUICE_TEXT("\(build)"),
                                                 .extensions = extensions,
                                                 .extension_count = \(tables.count)};
            const sluice_plugin *sluice_plugin_entry(uint32_t host) {
              (void)host;
              return &plugin;
            }

            """
    }

    /// A filter of version 2, one instance for each worker, that lets every request pass but for what the functions of
    /// `body` do that `callbacks` names. They have the host's `context`, its `exchanges`, and
    /// `service` for its other services.
    static func filter(_ name: String, needs: String = "0", callbacks: [String], _ body: String) -> String {
        let functions = callbacks.contains("on_request") ? [] : [".on_request = pass"]
        let table = (functions + callbacks.map { ".\($0) = \($0)" }).joined(separator: ", ")
        return source(
            name, tables: ["SLUICE_FILTER_2": "filter"],
            """
            static void *context;
            static const sluice_exchange_service *exchanges;
            static const sluice_host *gateway;
            static inline const void *service(const char *id) { return gateway->service(context, text(id)); }

            static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
              (void)arguments;
              gateway = host;
              context = host->context;
              exchanges = host->service(context, text(SLUICE_EXCHANGE));
              *instance = NULL;
              return SLUICE_OK;
            }
            static uint32_t needs(void *instance) { (void)instance; return \(needs); }
            static inline sluice_status pass(
                void *instance, sluice_exchange *exchange, sluice_request *request, sluice_response *answer) {
              (void)instance, (void)exchange, (void)request, (void)answer;
              return SLUICE_OK;
            }

            \(body)

            static const sluice_filter_2 filter = {
                .base = {sizeof(sluice_filter_2), SLUICE_INSTANCE_PER_WORKER, create, no_end},
                .needs = needs, \(table)};
            """)
    }

    /// For the end of a body: the table `adapter`, with those functions of the body that `callbacks` names. In place of
    /// the others it takes every request over HTTP, but declines to decode it, and can make and read no message.
    static func adapter(create: String = "no_state", destroy: String = "no_end", callbacks: [String]) -> String {
        let names = ["routes", "decode", "encode", "encode_error", "encode_request", "decode_response"]
        let table = names.map { ".\($0) = \(callbacks.contains($0) ? "" : "plain_")\($0)" }.joined(separator: ", ")
        return """
            static inline sluice_status plain_routes(void *instance, const sluice_route **list, uint32_t *count) {
              static const sluice_route all = {.transport = SLUICE_TRANSPORT_HTTP, .path = SLUICE_TEXT("*")};
              (void)instance;
              *list = &all;
              *count = 1;
              return SLUICE_OK;
            }
            static inline sluice_status plain_decode(
                void *instance, sluice_exchange *exchange, uint32_t stage, const sluice_match *match,
                sluice_request *request) {
              (void)instance, (void)exchange, (void)stage, (void)match, (void)request;
              return SLUICE_DECLINE;
            }
            static inline sluice_status plain_encode(
                void *instance, sluice_exchange *exchange, const sluice_request *request,
                const sluice_response *response, sluice_message *out) {
              (void)instance, (void)exchange, (void)request, (void)response, (void)out;
              return SLUICE_UNIMPLEMENTED;
            }
            static inline sluice_status plain_encode_error(
                void *instance, sluice_exchange *exchange, const sluice_request *request, const sluice_error *error,
                sluice_message *out) {
              (void)instance, (void)exchange, (void)request, (void)error, (void)out;
              return SLUICE_UNIMPLEMENTED;
            }
            static inline sluice_status plain_encode_request(
                void *instance, sluice_exchange *exchange, const sluice_request *request, const sluice_target *target,
                sluice_message *out) {
              (void)instance, (void)exchange, (void)request, (void)target, (void)out;
              return SLUICE_UNIMPLEMENTED;
            }
            static inline sluice_status plain_decode_response(
                void *instance, sluice_exchange *exchange, const sluice_request *request, const sluice_message *in,
                sluice_response *response) {
              (void)instance, (void)exchange, (void)request, (void)in, (void)response;
              return SLUICE_UNIMPLEMENTED;
            }
            static const sluice_adapter adapter = {
                .base = {.struct_size = sizeof(sluice_adapter), .create = \(create), .destroy = \(destroy)}, \(table)};
            """
    }

    /// A balancer that always picks the eligible endpoint of the highest (or lowest) index and counts in a state block.
    static func balancer(build: String, highest: Bool) -> String {
        source(
            "edge", build: build, tables: ["SLUICE_BALANCER": "balancer"],
            """
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
                .base = {.struct_size = sizeof(sluice_balancer), .create = no_state, .destroy = no_end},
                .pick = pick};
            """)
    }
}
