import Foundation
import Testing

extension EndToEnd {
    /// What answers in place of an error.
    @Suite struct Fallbacks {
        private func configuration(_ first: String, _ second: String, _ fallback: String) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web([first])
            configuration.models = [
                "  web:", "    versions:", "      \"1\": { endpoints: [ \"\(first)\" ], protocol: passthrough }",
                "    fallback: \(fallback)",
                "  other:", "    versions:", "      \"7\": { endpoints: [ \"\(second)\" ], protocol: passthrough }",
            ]
            return configuration
        }

        @Test func anotherModelAnswersAndIsNamed() throws {
            let dead = try Clients.freePort()
            let other = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                configuration("http://127.0.0.1:\(dead)", other.endpoint, "{ model: other }"))
            let answer = try gateway.post("/a", "{}")
            #expect(answer.status == 200)
            #expect(answer.bodyText == "POST /a 2")
            #expect(answer.field("x-sluice-fallback") == "other/7")
            #expect(try gateway.metric("sluice_fallbacks_total", ["model=\"web\""]) == 1)
        }

        @Test func aFailedAnswerFallsBackWhenNoAttemptIsLeft() throws {
            let failing = try ScriptedBackend { connection, _ in connection.answer(503, "not now") }
            let other = try ScriptedBackend.ordinary()
            var configuration = configuration(failing.endpoint, other.endpoint, "{ model: other }")
            configuration.gateway = ["  routing: { retry_policy: { max_attempts: 2, backoff_ms: 0 } }"]
            let gateway = try Gateway(configuration)
            let answer = try gateway.get("/a")
            #expect(answer.status == 200)
            #expect(answer.bodyText == "GET /a 0")
            #expect(failing.requests.count == 2)
        }

        @Test func theNextStepIsTakenWhenOneFails() throws {
            let dead = try Clients.freePort()
            let alsoDead = try Clients.freePort()
            let gateway = try Gateway(
                configuration(
                    "http://127.0.0.1:\(dead)", "http://127.0.0.1:\(alsoDead)",
                    "[ { model: other }, { response: { status: 203, content_type: text/plain, body: sorry } } ]"))
            let answer = try gateway.get("/")
            #expect(answer.status == 203)
            #expect(answer.bodyText == "sorry")
            #expect(answer.field("content-type") == "text/plain")
            #expect(answer.field("x-sluice-fallback") == "response")
            #expect(try gateway.metric("sluice_fallbacks_total", ["model=\"web\""]) == 2)
        }

        @Test func aWellModelIsNotReplaced() throws {
            let well = try ScriptedBackend.ordinary()
            let gateway = try Gateway(
                configuration(well.endpoint, well.endpoint, "{ response: { body: never } }"))
            let answer = try gateway.get("/a")
            #expect(answer.bodyText == "GET /a 0")
            #expect(answer.field("x-sluice-fallback") == nil)
        }

        @Test func anInferenceGoesToAModelInTheGateway() throws {
            let dead = try Clients.freePort()
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.models = [
                "  iris:",
                "    versions: { \"1\": { endpoints: [ \"http://127.0.0.1:\(dead)\" ], protocol: open-inference } }",
                "    fallback: { model: iris-small }",
                "  iris-small: { versions: { \"1\": { backend: linear-model } } }",
            ]
            let gateway = try Gateway(configuration)
            let request = """
                {"inputs":[{"name":"input","shape":[1,4],"datatype":"FP32","data":[5.1,3.5,1.4,0.2]}]}
                """
            let direct = try gateway.post("/v2/models/iris-small/infer", request)
            let answer = try gateway.post("/v2/models/iris/infer", request)
            #expect(direct.status == 200)
            #expect(answer.status == 200)
            #expect(answer.bodyText == direct.bodyText)
            #expect(answer.field("x-sluice-fallback") == "iris-small/1")
        }

        @Test func whatIsWrongWithTheRequestStaysAnError() throws {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference"]
            configuration.models = [
                "  iris:", "    versions: { \"1\": { backend: linear-model } }",
                "    fallback: { response: { body: never } }",
            ]
            let gateway = try Gateway(configuration)
            #expect(try gateway.post("/v2/models/iris/infer", "{}").status == 400)
        }
    }
}
