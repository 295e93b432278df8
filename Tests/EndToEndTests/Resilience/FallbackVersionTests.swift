import Foundation
import Testing

extension EndToEnd.Fallbacks {
    /// To the version itself a step of the fallback is none: it has just failed.
    @Test func aVersionIsNotItsOwnFallback() throws {
        let failing = try ScriptedBackend { connection, _ in connection.answer(503, "not now") }
        let well = try ScriptedBackend.ordinary()
        var configuration = GatewayConfiguration.web([failing.endpoint])
        configuration.models = [
            "  web:", "    versions:",
            "      \"1\": { endpoints: [ \"\(failing.endpoint)\" ], protocol: passthrough }",
            "      \"2\": { endpoints: [ \"\(well.endpoint)\" ], protocol: passthrough }",
            "    labels: { latest: \"1\" }",
            "    fallback: { version: \"1\" }",
        ]
        configuration.routes = "[ { prefix: /, model: web, version: \"1\" } ]"
        let gateway = try Gateway(configuration)
        let answer = try gateway.get("/a")
        #expect(answer.status == 503 && answer.bodyText == "not now")
        #expect(failing.requests.count == 1)
        #expect(try gateway.metric("sluice_fallbacks_total") == 0)
    }
}
