import Testing

@testable import HTTP1

@Suite("Request heads")
struct RequestTests {
    @Test("A plain request gives its parts")
    func plain() throws {
        let head = try #require(
            parseRequest(
                "GET /v2/models/iris?trace=1 HTTP/1.1\r\nHost: localhost:8080\r\nAccept:*/*\r\nX-Empty:\r\n"
                    + "X-Spaces: \t a b\tc \t\r\n\r\nrest"
            ).message)
        #expect(head.method == "GET")
        #expect(head.kind == .get)
        #expect(head.target == "/v2/models/iris?trace=1")
        #expect(head.path == "/v2/models/iris")
        #expect(head.query == "trace=1")
        #expect(head.authority == "localhost:8080")
        #expect(head.minorVersion == 1)
        #expect(head.fields.map(\.name) == ["Host", "Accept", "X-Empty", "X-Spaces"])
        #expect(head.fields.map(\.value) == ["localhost:8080", "*/*", "", "a b\tc"])
        #expect(head.hopByHop == [])
        #expect(head.body == .none)
        #expect(head.keepAlive)
        #expect(head.headSize == 105)
    }

    @Test("Every method of RFC 9110 and PATCH has its kind; names are case-sensitive")
    func methods() {
        let kinds: [(String, Method)] = [
            ("GET", .get), ("HEAD", .head), ("POST", .post), ("PUT", .put), ("DELETE", .delete),
            ("OPTIONS", .options), ("PATCH", .patch), ("TRACE", .trace), ("get", .other), ("PROPFIND", .other),
            ("GEX", .other), ("PUSH", .other), ("!#$%&'*+-.^_`|~9", .other),
        ]
        for (name, kind) in kinds {
            #expect(parseRequest("\(name) / HTTP/1.1\r\nHost: a\r\n\r\n").message?.kind == kind, "\(name)")
        }
    }
}
