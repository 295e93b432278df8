import PassthroughCodec
import SluiceABI
import SluiceJSON
import Testing

@Suite struct PassthroughTests {
    private func rule(
        _ model: String, prefix: String = "", host: String = "", header: (String, String) = ("", "")
    ) -> RouteTable.Rule {
        var rule = RouteTable.Rule()
        rule.model = model
        rule.prefix = prefix
        rule.host = host
        rule.headerName = header.0
        rule.headerValue = header.1
        return rule
    }

    private func model(
        _ rules: [RouteTable.Rule], path: String, authority: String = "", fields: [(String, String)] = []
    ) -> String? {
        let test = TestArena(limit: 0)
        var message = test.message("", fields: fields)
        message.path = test.bytes(path)
        message.authority = test.bytes(authority)
        return RouteTable(rules).match(message)?.model.text
    }

    @Test func theFirstRouteWhoseConditionsAllHold() {
        let rules = [
            rule("a", prefix: "/api/", host: "one.example"), rule("b", prefix: "/api/"),
            rule("c", header: ("X-Model", "c")), rule("d", header: ("x-any", "")), rule("e", host: "[::1]"),
        ]
        #expect(model(rules, path: "/api/x", authority: "ONE.example:8080") == "a")
        #expect(model(rules, path: "/api/x", authority: "one.example.org") == "b")
        #expect(model(rules, path: "/apix") == nil)
        #expect(model(rules, path: "/API/x") == nil)
        #expect(model(rules, path: "/", fields: [("x-model", "d"), ("x-MODEL", "c")]) == "c")
        #expect(model(rules, path: "/", fields: [("x-model", "C")]) == nil)
        #expect(model(rules, path: "/", fields: [("X-Any", "whatever")]) == "d")
        #expect(model(rules, path: "/", authority: "[::1]:80") == "e")
        #expect(model(rules, path: "/", authority: "[::1]") == "e")
        #expect(model([rule("all", prefix: "/")], path: "/any/../thing") == "all")
    }

    @Test(arguments: [
        "/public/../secret", "/public/%2e%2e/secret", "/public/.%2E/secret", "/public/./x", "/public/..", "/public/%2e",
        "/public/x/..%2fsecret", "/public/..\\secret", "/public/..%5Csecret", "/public/a/%2E%2e/%2e./b",
    ])
    func aPrefixCannotBeLeftByDotSegments(_ path: String) {
        #expect(model([rule("public", prefix: "/public/"), rule("rest", prefix: "/")], path: path) == "rest")
    }

    @Test(arguments: [
        "/public/...", "/public/a..b", "/public/.well-known", "/public/%2", "/public/..a/b.", "/public//x",
    ])
    func otherDotsAreNames(_ path: String) {
        #expect(model([rule("public", prefix: "/public/"), rule("rest", prefix: "/")], path: path) == "public")
    }

    @Test func errorsFitTheClient() throws {
        func text(_ accept: String?) throws -> (String, String) {
            let test = TestArena()
            var request = sluice_request()
            request.message = test.array([test.message("", fields: accept.map { [("Accept", $0)] } ?? [])])
            var error = sluice_error()
            error.http_status = 503
            error.message = test.bytes("no \"endpoint\"")
            var message = sluice_message()
            try ProblemText.write(error, to: request, into: &message, arena: test.arena)
            #expect(message.status == 503)
            return (message.field("content-type")?.text ?? "", message.bodyText)
        }
        let problem = (
            "application/problem+json",
            #"{"type":"about:blank","title":"Service Unavailable","status":503,"detail":"no \"endpoint\""}"#
        )
        #expect(try text(nil) == problem)
        #expect(try text("*/*") == problem)
        #expect(try text("text/plain, application/json") == problem)
        #expect(try text("text/html,*/*;q=0.8") == ("text/plain; charset=utf-8", "no \"endpoint\"\n"))
    }
}
