import Foundation
import Testing

extension EndToEnd {
    /// An answer that one filter has gathered for itself, and what the filters make of it that have seen its head.
    @Suite struct GatheredAnswers {
        private static let cache = "  - { name: cache, library: libCache.so, config: { operations: [ other ] } }"

        private static func configuration(
            _ endpoint: String, own: [String] = [], ofModel: [String], _ plugins: [String]
        ) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([endpoint])
            configuration.workers = 1
            configuration.plugins = [cache] + plugins
            configuration.filters = own
            configuration.models.append("    filters: [ \(ofModel.joined(separator: ", ")) ]")
            return configuration
        }

        private static func gateway(_ backend: ScriptedBackend, own: [String] = [], ofModel: [String]) throws -> Gateway
        {
            let directory = try TemporaryDirectory()
            let library = try CompiledPlugin.c(watching, "watching.so", in: directory)
            return try Gateway(
                configuration(
                    backend.endpoint, own: own, ofModel: ofModel, ["  - { name: watching, library: \(library) }"]))
        }

        /// The cache stands before the one that watches, so that on the way back it has the answer gathered when that
        /// one has been shown the head of a stream already.
        @Test func whoWasShownAStreamSeesItsBodyAsOneChunk() throws {
            let backend = try ScriptedBackend.ordinary()
            for (own, ofModel) in [([], ["cache", "watching"]), (["watching"], ["cache"])] {
                let gateway = try Self.gateway(backend, own: own, ofModel: ofModel)
                let answer = try gateway.get("/a")
                #expect(answer.bodyText == "GET /a 0" && answer.field("cache-status") == "sluice; fwd=miss; stored")
                #expect(answer.all("x-seen") == [own.isEmpty ? "chunk 1: GET /a 0" : "whole"])
                // Nothing streams from a cache.
                #expect(try gateway.get("/a").all("x-seen") == ["none"])
            }
        }

        @Test func itMayObject() throws {
            let backend = try ScriptedBackend { connection, _ in connection.answer(200, "bad") }
            let gateway = try Self.gateway(backend, ofModel: ["cache", "watching"])
            let refused = try gateway.get("/a")
            #expect(refused.status == 403 && refused.all("x-seen") == ["chunk 1: bad"], "\(refused)")
        }

        /// Says in `X-Seen` what it has seen of an answer's body: how much of it there was with the head, or each piece
        /// by its number. One that begins with `b` it refuses.
        private static let watching = CompiledPlugin.filter(
            "watching", needs: "SLUICE_FILTER_CHUNKS", callbacks: ["on_response", "on_chunk"],
            """
            static int pieces;
            static void say(sluice_exchange *exchange, const char *what) {
              exchanges->set_field(context, exchange, SLUICE_SIDE_RESPONSE, text("x-seen"), text(what));
            }
            static sluice_status on_response(void *instance, sluice_exchange *exchange, const sluice_request *request,
                                             sluice_response *response) {
              (void)instance, (void)request;
              pieces = 0;
              uint32_t state = response->message->body_state;
              say(exchange, state == SLUICE_BODY_WHOLE ? "whole" : state == SLUICE_BODY_NONE ? "none" : "head");
              return SLUICE_OK;
            }
            static sluice_status on_chunk(void *instance, sluice_exchange *exchange, uint32_t side,
                                          sluice_bytes chunk) {
              (void)instance;
              if (side != SLUICE_SIDE_RESPONSE) return SLUICE_OK;
              char seen[64];
              snprintf(seen, sizeof seen, "chunk %d: %.*s", ++pieces, (int)chunk.size, (const char *)chunk.data);
              say(exchange, seen);
              return chunk.data[0] == 'b' ? SLUICE_PERMISSION_DENIED : SLUICE_OK;
            }
            """)

        /// Fields that were made for an answer that has broken off are none of the one that comes in its place.
        @Test(arguments: [1, 3]) func fieldsOfABrokenAnswerGoWithIt(attempts: Int) throws {
            let backend = try ScriptedBackend { connection in
                guard try connection.reader.request() != nil else { return }
                if connection.index == 0 {
                    connection.socket.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                } else {
                    connection.answer(201, "whole")
                }
            }
            var configuration = Self.configuration(
                backend.endpoint, ofModel: ["cache", "headers"],
                [
                    "  - name: headers", "    library: libHeaders.so",
                    "    config: { response: { append: { x-was: $(status) } } }",
                ])
            let policy = "retry_policy: { max_attempts: \(attempts), backoff_ms: 0 }"
            configuration.gateway = ["  routing: { \(policy) }"]
            let answer = try Gateway(configuration).get("/a")
            #expect(answer.status == (attempts > 1 ? 201 : 502))
            #expect(answer.all("x-was") == (attempts > 1 ? ["201"] : []))
        }
    }
}
