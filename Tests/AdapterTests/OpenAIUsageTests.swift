import OpenAICodec
import SluiceABI
import SluiceHashing
import SluiceJSON
import Testing

@Suite struct OpenAIUsageTests {
    /// Feeds `text` in pieces that end at `cuts`.
    private func read(_ text: [UInt8], type: String, cuts: [Int] = []) throws -> (usage: TokenUsage, isFinished: Bool) {
        let test = TestArena()
        var watch = try #require(UsageWatch(contentType: test.bytes(type)))
        var sum = TokenUsage()
        var begin = 0
        for end in cuts + [text.count] {
            watch.feed(test.bytes(Array(text[begin..<end])))
            begin = end
            let new = watch.takeNew()
            sum.prompt += new.prompt
            sum.completion += new.completion
            sum.total += new.total
        }
        return (sum, watch.isFinished)
    }

    private func json(_ text: String) throws -> TokenUsage {
        try read(Array(text.utf8), type: "application/json").usage
    }

    private func events(_ text: String) throws -> TokenUsage {
        try read(Array(text.utf8), type: "text/event-stream").usage
    }

    private static let chat =
        #"{"id":"c","choices":[{"message":{"content":"\"usage\":{\"prompt_tokens\":9}\\"}}],"#
        + #" "usage" : { "prompt_tokens": 11 , "prompt_tokens_details":{"cached_tokens":5,"total_tokens":77},"#
        + #""completion_tokens":7,"total_tokens":18 }, "x":null}"#

    private static let stream =
        "\u{FEFF}: hello\r\ndata: {\"choices\":[{\"delta\":{\"content\":\"a\"}}],\"usage\":null}\r\n\r\n"
        + "event: x\nid: 1\ndata:{\"choices\":[],\ndata: \"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n"
        + "dat: {\"usage\":{\"prompt_tokens\":999}}\n\nretry: 1\rdata: [DONE]\r\r"

    @Test func readsTheUsageOfAnAnswer() throws {
        #expect(try json(Self.chat) == TokenUsage(prompt: 11, completion: 7, total: 18))
        #expect(
            try json(#"{"data":[{"embedding":[0.1,-2e-3]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#)
                == TokenUsage(prompt: 8, total: 8))
        #expect(
            try json(#"{"usage":{"input_tokens":5,"output_tokens":6,"output_tokens_details":{"reasoning_tokens":2}}}"#)
                == TokenUsage(prompt: 5, completion: 6, total: 11))
        #expect(try json(#"{"usag\u0065":{"prompt\u005ftokens":5}}"#) == TokenUsage(prompt: 5, total: 5))
    }

    @Test func readsTheUsageOfEvents() throws {
        #expect(try events(Self.stream) == TokenUsage(prompt: 3, completion: 4, total: 7))
        #expect(
            try events(
                "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":null}}\n\n"
                    + "data: {\"type\":\"response.completed\",\"response\":{\"output\":[{\"usage\":{}}],"
                    + "\"usage\":{\"input_tokens\":5,\"output_tokens\":6,\"total_tokens\":11}}}\n\n")
                == TokenUsage(prompt: 5, completion: 6, total: 11))
    }

    /// Events of `/v1/responses` whose `response` has a `usage` from the first one on.
    private static let responses =
        "event: response.created\ndata: {\"type\":\"response.created\",\"response\":{\"usage\":"
        + "{\"input_tokens\":0,\"output_tokens\":0,\"total_tokens\":0}}}\n\n"
        + "data: {\"type\":\"response.in_progress\",\"response\":{\"usage\":{\"input_tokens\":5}}}\n\n"
        + "data: {\"response\":{\"usage\":{\"input_tokens\":5,\"output_tokens\":6,\"total_tokens\":11},"
        + "\"type\":\"response\"},\"type\":\"response.completed\"}\n\n"

    @Test func theLargestUsageOfAResponseCounts() throws {
        #expect(try events(Self.responses) == TokenUsage(prompt: 5, completion: 6, total: 11))
    }

    /// What was taken too much is given back then, and no note is kept any longer.
    @Test(arguments: [
        ("response.completed", true), ("response.incomplete", true), ("response.failed", true),
        ("response.created", false), ("response.in_progress", false), ("response.incomplete_", false),
        ("response.complete", false), ("xresponse.completed", false), ("response.completed\\n", false), ("", false),
    ])
    func aResponseEndsWithAnEventOfThatType(type: String, isLast: Bool) throws {
        for text in [
            "{\"type\":\"\(type)\",\"response\":{\"usage\":{\"input_tokens\":1}}}",
            "{\"response\":{\"usage\":{\"input_tokens\":1}},\"type\":\"\(type)\"}",
            "{\"type\":\"\(type)\",\"response\":{\"usage\":null}}",
        ] {
            for more in ["", "data: {\"type\":\"x\"}\n\n"] {
                let bytes = Array("data: \(text)\n\n\(more)".utf8)
                #expect(try read(bytes, type: "text/event-stream").isFinished == isLast, "\(text)")
            }
        }
        for text in ["{\"response\":{\"type\":\"\(type)\"}}", "{\"x\":{\"type\":\"\(type)\"}}"] {
            #expect(try !read(Array("data: \(text)\n\n".utf8), type: "text/event-stream").isFinished, "\(text)")
        }
        let open = "data: {\"type\":\"\(type)\",\"response\":{}"
        #expect(try !read(Array(open.utf8), type: "text/event-stream").isFinished)
    }

    /// vLLM's `continuous_usage_stats`: each event says the sums so far.
    @Test func sumsSoFarAreCountedOnce() throws {
        let text = (1...5).map {
            "data: {\"usage\":{\"prompt_tokens\":10,\"completion_tokens\":\($0),\"total_tokens\":\(10 + $0)}}\n\n"
        }.joined()
        #expect(try events(text) == TokenUsage(prompt: 10, completion: 5, total: 15))
    }

    @Test(arguments: [
        (chat, "application/json; charset=utf-8"), (stream, " Text/Event-Stream ;x"), (responses, "text/event-stream"),
    ])
    func cutsMakeNoDifference(text: String, type: String) throws {
        let bytes = Array(text.utf8)
        let whole = try read(bytes, type: type)
        #expect(!whole.usage.isZero && whole.isFinished)
        for cut in 0...bytes.count {
            let parts = try read(bytes, type: type, cuts: [cut])
            #expect(parts == whole, "cut at \(cut)")
        }
        #expect(try read(bytes, type: type, cuts: Array(1..<bytes.count)) == whole)
    }

    @Test(arguments: [
        "", "{}", "null", #"["usage",{"prompt_tokens":1}]"#, #"{"usage":null}"#, #"{"usage":[{"prompt_tokens":1}]}"#,
        #"{"choices":[{"usage":{"prompt_tokens":1}}]}"#, #"{"x":{"usage":{"prompt_tokens":1}}}"#,
        #"{"x":"{\"usage\":{\"prompt_tokens\":1}}"}"#, #"{"usage":{"x":{"prompt_tokens":1}}}"#,
        #"{"usage":{"prompt_tokens":"1"}}"#, #"{"usage":{"prompt_tokens":-1}}"#, #"{"usage":{"prompt_tokens":1.5}}"#,
        #"{"usage":{"prompt_tokens":1e3}}"#, #"{"usage":{"prompt_tokens":true}}"#,
        #"{"usage":{"prompt_tokens":1000000000001}}"#, #"{"usage":{"prompt_tokens":99999999999999999999999999}}"#,
        #"{"usage":{"prompt_tokens":1"#, #"{"usage":{"prompt_tokens":1]}"#, #"{"usage" {"prompt_tokens":1}}"#,
        #"{"usage":{"prompt_tokens"1}}"#, #"{"usage":{prompt_tokens:1}}"#, #"{,"usage":{"prompt_tokens":1}}"#,
        #"{"x":[},"usage":{"prompt_tokens":1}}"#, #"{"x":{"y":]},"usage":{"prompt_tokens":1}}"#,
        #"{"response":{"response":{"usage":{"prompt_tokens":1}}}}"#, #"{"usage2":{"prompt_tokens":1}}"#,
        #"{"usage":{"prompt_tokens_and_more":1,"completion_tokens2":3}}"#,
        #"{"us\u00zz":1,"usage":{"total_tokens":1}}"#,
        #"{}{"usage":{"prompt_tokens":1}}"#,
    ])
    func whatIsNoUsageIsNotCounted(text: String) throws {
        #expect(try json(text).isZero)
        #expect(try events("data: \(text)\n\n").isZero)
    }

    @Test func aCountUpToTheBoundCounts() throws {
        #expect(try json(#"{"usage":{"prompt_tokens":1000000000000}}"#).prompt == 1_000_000_000_000)
    }

    @Test func valuesMayBeNestedAsDeepAsAReaderGoes() throws {
        func text(_ depth: Int) -> String {
            "{\"x\":" + String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
                + ",\"usage\":{\"prompt_tokens\":1}}"
        }
        #expect(try json(text(64)).prompt == 1)
        #expect(try json(text(65)).isZero)
        #expect(try json(text(100_000)).isZero)
    }

    @Test func aBrokenEventDoesNotSpoilTheNext() throws {
        #expect(
            try events("data: {\"x\":[}\n\ndata: \"\n\ndata: {\"usage\":{\"prompt_tokens\":2}}\n\n").prompt == 2)
        // An event that was not ended by an empty line goes on.
        #expect(try events("data: {\"x\":[}\ndata: {\"usage\":{\"prompt_tokens\":2}}\n\n").isZero)
    }

    @Test(arguments: ["", "text/plain", "application/jsonl", "application/x-ndjson", "text/event-streams", ";"])
    func otherTypesAreNotRead(type: String) {
        let test = TestArena()
        #expect(UsageWatch(contentType: test.bytes(type)) == nil)
    }

    @Test func endsAreSeen() throws {
        #expect(try read(Array("{\"x\":1} ".utf8), type: "application/json").isFinished)
        #expect(try !read(Array("{\"x\":1".utf8), type: "application/json").isFinished)
        #expect(try read(Array("data: [DONE]\n".utf8), type: "text/event-stream").isFinished)
        for text in ["data: [DONE]", "data: [DONE] \n\n", "data: [DON]\n\n", "x: [DONE]\n\n", "data:  [DONE]\n\n"] {
            #expect(try !read(Array(text.utf8), type: "text/event-stream").isFinished, "\(text)")
        }
    }

    /// What a reader of whole texts finds is what the scanner finds, whatever lies around and wherever it is cut.
    @Test func agreesWithAReaderOnRandomTexts() throws {
        var random = SplitMix64(seed: 20)
        for _ in 0..<500 {
            let usage = TokenUsage(
                prompt: .random(in: 0...9_999, using: &random), completion: .random(in: 0...9_999, using: &random),
                total: .random(in: 0...9_999, using: &random))
            var members = (0..<Int.random(in: 0...6, using: &random)).map { index in
                "\"k\(index)\":" + Self.value(depth: 3, &random)
            }
            members.insert(
                "\"usage\":{\"total_tokens\":\(usage.total),\"x\":\(Self.value(depth: 2, &random)),"
                    + "\"completion_tokens\":\(usage.completion),\"prompt_tokens\":\(usage.prompt)}",
                at: Int.random(in: 0...members.count, using: &random))
            let bytes = Array("{\(members.joined(separator: ","))}".utf8)
            let cuts = (0..<4).map { _ in Int.random(in: 0...bytes.count, using: &random) }.sorted()
            #expect(try read(bytes, type: "application/json", cuts: cuts).usage == usage)
            let event = Array("data: ".utf8) + bytes + Array("\n\n".utf8)
            #expect(try read(event, type: "text/event-stream", cuts: cuts).usage == usage)
        }
    }

    private static func value(depth: Int, _ random: inout SplitMix64) -> String {
        let texts = ["\"usage\"", #""\\\"}{][,:é\u0041""#, "-1.5e+3", "0", "true", "null", "[]", "{}", "\"\""]
        guard depth > 0, Bool.random(using: &random) else { return texts.randomElement(using: &random) ?? "0" }
        let parts = (0..<Int.random(in: 0...3, using: &random)).map { _ in value(depth: depth - 1, &random) }
        if Bool.random(using: &random) { return "[\(parts.joined(separator: " , "))]" }
        return "{" + parts.map { "\"usage\":\($0)" }.joined(separator: ",") + "}"
    }
}
