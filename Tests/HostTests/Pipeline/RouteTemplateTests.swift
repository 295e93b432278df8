import SluiceABI
import SluiceHashing
import Testing

@testable import Host

/// A route whose texts live as long as the object.
private final class RouteUnderTest {
    private let texts: [UnsafeMutableBufferPointer<UInt8>]
    let route: CompiledRoute

    init(_ path: String, method: String = "", index: Int = 0) throws {
        texts = [method, path].map { text in
            let bytes = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
            _ = bytes.initialize(from: text.utf8)
            return bytes
        }
        let views = texts.map { sluice_bytes(data: UnsafePointer($0.baseAddress), size: $0.count) }
        do {
            route = try CompiledRoute(method: views[0], path: views[1], index: index)
        } catch {
            for text in texts { text.deallocate() }
            throw error
        }
    }

    deinit {
        route.deallocate()
        for text in texts { text.deallocate() }
    }

    /// The captures of `target`, or nil when it does not match. `before`: what an absolute form has before its path.
    func captures(_ target: String, method: String = "POST", before: String = "") -> [String]? {
        let whole = Array((before + target).utf8)
        let size = target.utf8.prefix { $0 != UInt8(ascii: "?") }.count
        return whole.withUnsafeBufferPointer { bytes in
            Array(method.utf8).withUnsafeBufferPointer { method in
                let path = bytes.baseAddress.map { $0 + before.utf8.count }
                var captures = Array(repeating: sluice_bytes.empty, count: CompiledRoute.capturesAtMost)
                let matches = route.matches(
                    method: sluice_bytes(data: method.baseAddress, size: method.count),
                    path: sluice_bytes(data: path, size: size),
                    target: sluice_bytes(data: bytes.baseAddress, size: bytes.count), captures: &captures)
                return matches ? captures.prefix(route.captureCount).map(\.text) : nil
            }
        }
    }
}

@Suite struct RouteTemplateTests {
    private func captures(_ template: String, _ target: String) throws -> [String]? {
        try RouteUnderTest(template).captures(target)
    }

    private func fault(_ template: String) -> String? {
        do {
            _ = try RouteUnderTest(template)
            return nil
        } catch CompiledRoute.Fault.syntax(let message) {
            return message
        } catch {
            return "\(error)"
        }
    }

    @Test func aLiteralMatchesItselfAlone() throws {
        #expect(try captures("/v2/health/live", "/v2/health/live") == [])
        #expect(try captures("/v2/health/live", "/v2/health/live?x=/y") == [])
        for other in [
            "/v2/health/liv", "/v2/health/live/", "/v2/health/lIve", "/v2/health/ready", "/", "", "/v2/health/livE",
        ] {
            #expect(try captures("/v2/health/live", other) == nil, "\(other)")
        }
    }

    @Test func theMethodIsMatchedWithItsCaseUnlessEmpty() throws {
        let post = try RouteUnderTest("/x", method: "POST")
        #expect(post.captures("/x", method: "POST") == [])
        for other in ["GET", "post", "POS", "POSTS", ""] {
            #expect(post.captures("/x", method: other) == nil, "\(other)")
        }
        #expect(try RouteUnderTest("/x").captures("/x", method: "BREW") == [])
        let all = try RouteUnderTest("*", method: "GET")
        #expect(all.captures("/any/thing", method: "GET") == [])
        #expect(all.captures("/any/thing", method: "PUT") == nil)
    }

    @Test func starMatchesEveryPath() throws {
        for path in ["/", "/a/b", "", "*"] { #expect(try captures("*", path) == [], "\(path)") }
    }

    @Test func aCaptureIsOneSegmentThatIsNotEmpty() throws {
        let template = "/v2/models/{model}/infer"
        #expect(try captures(template, "/v2/models/iris/infer") == ["iris"])
        for other in [
            "/v2/models//infer", "/v2/models/infer", "/v2/models/a/b/infer", "/v2/models/iris",
            "/v2/models/iris/infer/x",
        ] {
            #expect(try captures(template, other) == nil, "\(other)")
        }
        #expect(try captures("/v2/models/{model}", "/v2/models/iris") == ["iris"])
        #expect(try captures("/v2/models/{model}", "/v2/models/") == nil)
        #expect(try captures("/{a}/{b}/c/{d}", "/1/22/c/333") == ["1", "22", "333"])
    }

    @Test func percentEncodingAndBytesAboveASCIIAreKept() throws {
        #expect(try captures("/m/{model}/x", "/m/a%2Fb%20c/x") == ["a%2Fb%20c"])
        #expect(try captures("/m/{model}:predict", "/m/gr%3Aün:predict") == ["gr%3Aün"])
        #expect(try captures("/m/{model}", "/m/%") == ["%"])
    }

    @Test func aPartOfASegmentGoesUpToTheLastPlaceOfTheLiteral() throws {
        let template = "/v1/models/{model}:predict"
        #expect(try captures(template, "/v1/models/iris:predict") == ["iris"])
        #expect(try captures(template, "/v1/models/a:b:predict") == ["a:b"])
        #expect(try captures(template, "/v1/models/:predict:predict") == [":predict"])
        #expect(try captures(template, "/v1/models/a:predict:predict") == ["a:predict"])
        for other in [
            "/v1/models/:predict", "/v1/models/iris:predic", "/v1/models/iris:predicts", "/v1/models/iris",
            "/v1/models/iris/x:predict", "/v1/models/:", "/v1/models/", "/v1/models/predict",
            "/v1/models/iris:predict/",
        ] {
            #expect(try captures(template, other) == nil, "\(other)")
        }
        #expect(try captures("/{name}.{suffix}", "/a.b.c") == ["a.b", "c"])
        #expect(try captures("/x-{name}-y", "/x-a-y-y") == ["a-y"])
    }

    /// What follows a capture may go on beyond its segment.
    @Test func aLiteralBehindAPartOfASegmentMayHoldSlashes() throws {
        let template = "/models/{model}:explain/{version}/now"
        #expect(try captures(template, "/models/iris:explain/3/now") == ["iris", "3"])
        #expect(try captures(template, "/models/a:explain:explain/3/now") == ["a:explain", "3"])
        for other in [
            "/models/iris:explain", "/models/iris:explain/", "/models/:explain/3/now", "/models/iris:explainx/3/now",
        ] {
            #expect(try captures(template, other) == nil, "\(other)")
        }
        #expect(try captures("/{a}.x/y/{rest...}", "/b.x/y/z/w?q") == ["b", "z/w?q"])
    }

    @Test func restIsEverythingLeftWithTheQuery() throws {
        let template = "/v2/models/{model}/{rest...}"
        #expect(try captures(template, "/v2/models/iris/a/b?c=d?e") == ["iris", "a/b?c=d?e"])
        #expect(try captures(template, "/v2/models/iris/") == ["iris", ""])
        #expect(try captures(template, "/v2/models/iris/?x") == ["iris", "?x"])
        #expect(try captures(template, "/v2/models/iris") == nil)
        #expect(try captures("/{model}{rest...}", "/iris?x") == ["iris", "?x"])
        #expect(try captures("/{rest...}", "/") == [""])
    }

    @Test func restOfAnAbsoluteFormIsItsPathAndQueryToo() throws {
        let route = try RouteUnderTest("/a/{rest...}")
        #expect(route.captures("/a/b?c", before: "http://host") == ["b?c"])
    }

    @Test func restIsThePathAloneWhenThatIsNoPartOfTheTarget() throws {
        let test = try RouteUnderTest("/a/{rest...}")
        let path: StaticString = "/a/b"
        let target: StaticString = "elsewhere?c"
        var captures = Array(repeating: sluice_bytes.empty, count: 8)
        let matches = test.route.matches(
            method: .empty, path: sluice_bytes(path), target: sluice_bytes(target), captures: &captures)
        #expect(matches)
        #expect(captures[0].text == "b")
    }

    @Test func eightCapturesAreTheMost() throws {
        let eight = (1...8).map { "/{c\($0)}" }.joined()
        #expect(try captures(eight, "/1/2/3/4/5/6/7/8") == ["1", "2", "3", "4", "5", "6", "7", "8"])
        #expect(fault(eight + "/{ninth}")?.contains("more than 8 captures") == true)
        #expect(fault(eight + "/{rest...}")?.contains("more than 8 captures") == true)
    }

    @Test(arguments: [
        ("v2/models", "must begin with `/`"), ("", "must begin with `/`"), ("{model}", "must begin with `/`"),
        ("**", "must begin with `/`"), ("/{model", "lacks a `}`"), ("/{", "lacks a `}`"),
        ("/a/{x}/{model", "lacks a `}`"), ("/{a}{b}", "two captures touch"), ("/{rest...}/x", "must end the template"),
        ("/{rest...}{x}", "must end the template"),
    ])
    func aTemplateThatIsNoneIsRefusedWithItsReason(template: String, reason: String) throws {
        let message = try #require(fault(template))
        #expect(message.contains(reason))
        #expect(message.contains(template), "it names the template")
    }

    @Test func theCommonPrefixIsWhatAllPathsBeginWith() throws {
        func common(_ templates: [String]) throws -> String {
            let routes = try templates.map { try RouteUnderTest($0) }
            return withExtendedLifetime(routes) { CompiledRoute.commonPrefix(routes.map(\.route)).text }
        }
        #expect(try common([]) == "")
        #expect(try common(["/v2/models/{model}/infer"]) == "/v2/models/")
        #expect(try common(["/v2/models/{model}/infer", "/v2/health/live", "/v2"]) == "/v2")
        #expect(try common(["/v1/models", "/v2/models"]) == "/v")
        #expect(try common(["/v1", "*"]) == "")
        #expect(try common(["/{model}", "/abc"]) == "/")
    }

    /// Against the plainest reading of the language: every way to cut the path, the longest first captures first.
    @Test(arguments: 1...10 as ClosedRange<UInt64>)
    func randomPathsMatchAsASearchOverAllCutsSays(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let templates = ["/{a}:p", "/a/{a}:p/b", "/{a}/{b}:p", "/a{a}/{b}", "/{a}", "/a/{a}/b", "/{a}.{rest...}"]
        for template in templates {
            let route = try RouteUnderTest(template)
            for _ in 0..<300 {
                let letters = (0..<Int.random(in: 0...8, using: &random)).map { _ in
                    ["a", ":", "p", "/", "b", "."].randomElement(using: &random) ?? "a"
                }
                let path = "/" + letters.joined()
                let expected = Self.search(Substring(template), Substring(path))
                #expect(route.captures(path) == expected, "\(template) \(path)")
            }
        }
    }

    private static func search(_ template: Substring, _ path: Substring) -> [String]? {
        guard let first = template.first else { return path.isEmpty ? [] : nil }
        if first != "{" { return path.first == first ? search(template.dropFirst(), path.dropFirst()) : nil }
        if template == "{rest...}" { return [String(path)] }
        guard let close = template.firstIndex(of: "}") else { return nil }
        let segment = path.prefix { $0 != "/" }
        for size in stride(from: segment.count, to: 0, by: -1) {
            let after = template[template.index(after: close)...]
            if let rest = search(after, path.dropFirst(size)) { return [String(path.prefix(size))] + rest }
        }
        return nil
    }

    @Test func headTakesTheRouteOfGetUnlessOneNamesIt() throws {
        let routes = try [
            ("GET", "/both"), ("POST", "/posted"), ("", "/{rest...}"), ("HEAD", "/both"), ("GET", "/late"),
        ].enumerated().map { try RouteUnderTest($1.1, method: $1.0, index: $0) }
        func route(_ target: String) -> Int? {
            let path = Array(target.utf8)
            return path.withUnsafeBufferPointer { path in
                routes.map(\.route).withUnsafeBufferPointer { routes -> Int? in
                    guard let first = routes.baseAddress else { return nil }
                    var message = sluice_message()
                    message.path = sluice_bytes(data: path.baseAddress, size: path.count)
                    message.target = message.path
                    var captures = Array(repeating: sluice_bytes.empty, count: CompiledRoute.capturesAtMost)
                    return RouteList(routes: first, count: routes.count).matchHead(&message, &captures)
                }
            }
        }
        #expect(route("/both") == 3)
        // As GET: in the order of the routes, those of any method among them.
        #expect(route("/posted") == 2)
        #expect(route("/late") == 2)
        #expect(route("*") == nil)
    }
}
