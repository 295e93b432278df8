import OpenAICodec
import SluiceABI
import SluiceJSON
import Testing

@Suite struct OpenAITests {
    /// A request at stage HEAD, by one of the codec's own routes.
    private func head(
        _ codec: borrowing OpenAIProtocol, _ method: String, _ target: String, route: String, captures: [String] = [],
        _ test: TestArena
    ) throws -> (verdict: OpenAIProtocol.HeadVerdict, request: sluice_request) {
        var message = test.message("")
        message.method = test.bytes(method)
        message.target = test.bytes(target)
        message.path = test.bytes(target.split(separator: "?").first.map(String.init) ?? "")
        var request = sluice_request()
        request.message = test.array([message])
        let index = try #require(codec.routes.firstIndex { "\($0.path)" == route })
        let match = sluice_match(
            route: UInt32(index), capture_count: UInt32(captures.count),
            captures: test.array(captures.map { test.bytes($0) }))
        let verdict = try codec.decodeHead(match, &request, arena: test.arena)
        return (verdict, request)
    }

    /// A chat request whose body was read.
    private func chat(
        _ codec: borrowing OpenAIProtocol, _ body: String, fields: [(String, String)] = [], _ test: TestArena
    ) throws -> sluice_request {
        var (verdict, request) = try head(
            codec, "POST", "/v1/chat/completions", route: "/v1/chat/completions", test)
        #expect(verdict == .needsBody)
        request.message = test.array([test.message(body, fields: fields)])
        try codec.decodeBody(&request, arena: test.arena)
        return request
    }

    private func model(_ body: String) throws -> (name: String, raw: String) {
        let test = TestArena()
        let bytes = test.bytes(body)
        var isAboutModel = true
        let field = try ModelField.find(in: bytes, arena: test.arena, isAboutModel: &isAboutModel)
        #expect(!isAboutModel)
        return (field.name.text, bytes.slice(field.start, field.end - field.start).text)
    }

    // MARK: The model of a body

    @Test(arguments: [
        (#"{"model":"gpt"}"#, "gpt", #""gpt""#),
        (#" { "messages" : [ ] , "model" : "gpt" , "n" : 1 } "#, "gpt", #""gpt""#),
        (#"{"x":{"model":"no"},"y":[{"model":"no"}],"model":"yes","z":{"model":1}}"#, "yes", #""yes""#),
        (#"{"x":"\"model\":\"no\"","model":"yes"}"#, "yes", #""yes""#),
        (#"{"mod\u0065l":"org\/m\u00f6del \ud83d\ude00"}"#, "org/mödel 😀", #""org\/m\u00f6del \ud83d\ude00""#),
        (#"{"Model":"no","model ":"no","model":"yes"}"#, "yes", #""yes""#),
        (#"{"model":"a\"}{"}"#, #"a"}{"#, #""a\"}{""#),
    ])
    func theTopLevelModelCounts(body: String, name: String, raw: String) throws {
        let found = try model(body)
        #expect(found.name == name)
        #expect(found.raw == raw)
    }

    @Test func hugeStringsAreReadPastWithoutMemory() throws {
        let test = TestArena(limit: 64)
        let text = String(repeating: #"word \n 😀 "#, count: 400_000)
        let body = test.bytes(#"{"messages":[{"role":"user","content":""# + text + #""}],"model":"gpt"}"#)
        var isAboutModel = false
        let field = try ModelField.find(in: body, arena: test.arena, isAboutModel: &isAboutModel)
        #expect(field.name.text == "gpt")
    }

    @Test(arguments: [
        ("", "expected a JSON object, at byte 0", false),
        ("[]", "expected a JSON object, at byte 0", false),
        (#""model""#, "expected a JSON object, at byte 0", false),
        ("{}", "the body lacks the field 'model'", true),
        (#"{"models":"gpt"}"#, "the body lacks the field 'model'", true),
        (#"{"x":{"model":"gpt"}}"#, "the body lacks the field 'model'", true),
        (#"{"model":null}"#, "the field 'model' is not a string, at byte 9", true),
        (#"{"model":["gpt"]}"#, "the field 'model' is not a string, at byte 9", true),
        (#"{"model":{"model":"gpt"}}"#, "the field 'model' is not a string, at byte 9", true),
        (#"{"model": 4}"#, "the field 'model' is not a string, at byte 10", true),
        (#"{"model":""}"#, "the field 'model' is empty, at byte 9", true),
        (#"{"model":"a","model":"a"}"#, "the body has 'model' more than once, at byte 21", true),
        (#"{"model":"a","\u006dodel":"b"}"#, "the body has 'model' more than once, at byte 26", true),
        (#"{"model":"a"} x"#, "the JSON text has something after its end, at byte 14", false),
        (#"{"model":"a"}{"model":"b"}"#, "the JSON text has something after its end, at byte 13", false),
        (#"{"model":"a","x":[1,]}"#, "the JSON text has a comma too many, at byte 20", false),
        (#"{"model":"a","x":"\ud83d"}"#, "a string has half of a surrogate pair, at byte 18", false),
        (#"{"model":"a","x":NaN}"#, "the JSON text has an unexpected character, at byte 17", false),
        (#"{"model":"a""#, "the JSON text ends too early, at byte 12", false),
        (#"{"model":"a"#, "a string does not end, at byte 9", true),
    ])
    func whatNamesNoModelIsRefused(body: String, text: String, isAboutModel: Bool) {
        let test = TestArena()
        var found = false
        let failure = failure { () throws(CodecFailure) in
            _ = try ModelField.find(in: test.bytes(body), arena: test.arena, isAboutModel: &found)
        }
        #expect(failure == text)
        #expect(found == isAboutModel)
    }

    @Test func everyPrefixOfABodyIsRefused() {
        let body = Array(#"{"a":[1,{"b":"\u00e9é"}],"model":"gpt","n":-1.5e3}"#.utf8)
        for count in 0..<body.count {
            let test = TestArena()
            var isAboutModel = false
            let text = failure { () throws(CodecFailure) in
                _ = try ModelField.find(
                    in: test.bytes(Array(body[..<count])), arena: test.arena, isAboutModel: &isAboutModel)
            }
            #expect(text != nil, "\(count)")
        }
    }

    // MARK: Routes

    @Test func headsTellOperationAndModel() throws {
        let codec = OpenAIProtocol(OpenAIOptions(otherPathsModel: "rest"))
        let test = TestArena()
        for (path, operation) in [
            ("/v1/chat/completions", SLUICE_OPERATION_CHAT), ("/v1/completions", SLUICE_OPERATION_COMPLETION),
            ("/v1/embeddings", SLUICE_OPERATION_EMBED), ("/v1/responses", SLUICE_OPERATION_CHAT),
        ] {
            let (verdict, request) = try head(codec, "POST", path, route: path, test)
            #expect(verdict == .needsBody)
            #expect(request.operation == UInt32(operation))
        }
        let list = try head(codec, "GET", "/v1/models", route: "/v1/models", test)
        #expect(list.verdict == .decoded)
        #expect(list.request.operation == UInt32(SLUICE_OPERATION_MODEL_LIST))
        let other = try head(
            codec, "POST", "/v1/audio/speech?x", route: "/v1/{rest...}", captures: ["audio/speech?x"], test)
        #expect(other.verdict == .decoded)
        #expect(other.request.operation == UInt32(SLUICE_OPERATION_OTHER))
        #expect(other.request.model.text == "rest")
    }

    @Test func otherPathsNeedAModel() {
        #expect(OpenAIProtocol(OpenAIOptions()).routes.last?.path.description == "/v1/models/{name...}")
    }

    @Test(arguments: [
        "/v1/models", "/v1/models/iris:predict", "/v1/models/iris/versions/1", "/v1/../admin", "/v1/x/%2e%2e/y",
        "/v1/chat/completion%73", "/v1/%63hat/completions", "/v1/chat%2Fcompletions", "/v1/chat%2fcompletions",
        "/v1//chat/completions", "/v1/chat//completions", "/v1/./chat/completions", "/v1/x/../chat/completions",
        "/v1/chat\\completions", "/v1/chat%5ccompletions", "/v1/model%73", "/v1/files/a%7Eb", "/v1/files/a%2Db",
        "/v1/chat/completions/", "/v1/embeddings//", "/v1/Chat/Completions", "/v1/RESPONSES/",
    ])
    func whatIsNotOfTheAPIIsDeclined(path: String) throws {
        let codec = OpenAIProtocol(OpenAIOptions(otherPathsModel: "rest"))
        let found = try head(
            codec, "POST", path, route: "/v1/{rest...}", captures: [String(path.dropFirst(4))], TestArena())
        #expect(found.verdict == .declined)
    }

    /// What has to be encoded, and what is no encoding at all, is passed on as it is.
    @Test(arguments: [
        "/v1/files/a%20b", "/v1/files/%C3%A9", "/v1/files/a%3Ab", "/v1/files/a%", "/v1/files/a%4", "/v1/files/a%zz",
        "/v1/files/", "/v1/files/a.b~c_d-e", "/v1/files/a?x=%73//..",
        "/v1/chat/completions", "/v1/chat/completions/id", "/v1/responses/id/", "/v1/embedding",
    ])
    func otherPathsInTheirOnlySpellingAreTaken(path: String) throws {
        let codec = OpenAIProtocol(OpenAIOptions(otherPathsModel: "rest"))
        let found = try head(
            codec, "POST", path, route: "/v1/{rest...}", captures: [String(path.dropFirst(4))], TestArena())
        #expect(found.verdict == .decoded)
    }

    @Test(
        arguments: [
            ("gpt", [], .decoded, "gpt"), ("gpt?x=a/b", [], .decoded, "gpt"), ("org%2Fm", [], .decoded, "org/m"),
            ("org/m", [], .decodedIfKnown, "org/m"), ("iris/versions/1", [], .decodedIfKnown, "iris/versions/1"),
            ("gpt", ["gpt", "org/m"], .decoded, "gpt"), ("org/m", ["gpt", "org/m"], .decodedIfKnown, "org/m"),
            ("iris", ["gpt"], .declined, ""), ("gpt/metadata", ["gpt"], .declined, ""), ("", [], .declined, ""),
            ("?", [], .declined, ""),
        ] as [(String, [String], OpenAIProtocol.HeadVerdict, String)])
    func modelsAreOfThisAPIWhenTheyAreNamed(
        rest: String, models: [String], verdict: OpenAIProtocol.HeadVerdict, name: String
    ) throws {
        let codec = OpenAIProtocol(OpenAIOptions(models: models))
        let test = TestArena()
        let found = try head(
            codec, "GET", "/v1/models/" + rest, route: "/v1/models/{name...}", captures: [rest], test)
        #expect(found.verdict == verdict)
        if verdict != .declined { #expect(found.request.model.text == name) }
    }

    // MARK: Models

    private func encoded(
        _ codec: borrowing OpenAIProtocol, _ request: sluice_request, models: [String], _ test: TestArena
    ) throws -> sluice_message {
        var metadata = sluice_metadata()
        metadata.versions = test.array(models.map { test.bytes($0) })
        metadata.version_count = UInt32(models.count)
        var response = sluice_response()
        response.operation = UInt32(SLUICE_OPERATION_MODEL_LIST)
        response.metadata = test.array([metadata])
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        return message
    }

    @Test func listsTheGatewaysModels() throws {
        let test = TestArena()
        let all = OpenAIProtocol(OpenAIOptions())
        var request = try head(all, "GET", "/v1/models", route: "/v1/models", test).request
        let list = try encoded(all, request, models: ["gpt", "a\"b"], test)
        #expect(list.status == 200)
        #expect(
            list.bodyText
                == #"{"object":"list","data":[{"id":"gpt","object":"model","created":0,"owned_by":"sluice"},"#
                + #"{"id":"a\"b","object":"model","created":0,"owned_by":"sluice"}]}"#)
        #expect(try encoded(all, request, models: [], test).bodyText == #"{"object":"list","data":[]}"#)
        let some = OpenAIProtocol(OpenAIOptions(models: ["b", "gone"]))
        request = try head(some, "GET", "/v1/models", route: "/v1/models", test).request
        #expect(
            try encoded(some, request, models: ["a", "b", "c"], test).bodyText
                == #"{"object":"list","data":[{"id":"b","object":"model","created":0,"owned_by":"sluice"}]}"#)
    }

    @Test func oneModelIsThereOrNot() throws {
        let test = TestArena()
        let codec = OpenAIProtocol(OpenAIOptions())
        let request = try head(
            codec, "GET", "/v1/models/gpt", route: "/v1/models/{name...}", captures: ["gpt"], test
        ).request
        #expect(
            try encoded(codec, request, models: ["x", "gpt"], test).bodyText
                == #"{"id":"gpt","object":"model","created":0,"owned_by":"sluice"}"#)
        do throws(CodecFailure) {
            var metadata = sluice_metadata()
            metadata.versions = test.array([test.bytes("x")])
            metadata.version_count = 1
            var response = sluice_response()
            response.operation = UInt32(SLUICE_OPERATION_MODEL_LIST)
            response.metadata = test.array([metadata])
            var message = sluice_message()
            try codec.encode(response, to: request, into: &message, arena: test.arena)
            Issue.record("a model that is not there was told of")
        } catch {
            #expect(error.status == SLUICE_NOT_FOUND)
            #expect(error.text == "there is no model 'gpt'")
        }
    }

    // MARK: Toward the backend

    private func passed(
        _ codec: borrowing OpenAIProtocol, _ request: sluice_request, to model: String, _ test: TestArena
    ) throws -> (verdict: Int32, message: sluice_message) {
        var target = sluice_target()
        target.model = test.bytes(model)
        target.same_protocol = 1
        var message = sluice_message()
        let verdict = try codec.encodeRequest(request, for: target, into: &message, arena: test.arena)
        return (verdict, message)
    }

    @Test func aBodyPassesAsItCameWhenTheNameIsTheSame() throws {
        let test = TestArena()
        let codec = OpenAIProtocol(OpenAIOptions())
        let body = #"{ "model" : "org\/m" ,"stream":true}"#
        var request = try chat(codec, body, test)
        #expect(request.model.text == "org/m")
        #expect(request.payload.kind == UInt32(SLUICE_PAYLOAD_RAW))
        #expect(request.payload.raw.text == body)
        var (verdict, message) = try passed(codec, request, to: "org/m", test)
        #expect(verdict == SLUICE_PASS)
        #expect(message.body_state == UInt32(SLUICE_BODY_NONE))
        #expect(message.target.isEmpty && message.method.isEmpty)
        // A filter may have sent the request to another model: the body still names the first one.
        request.model = test.bytes("other")
        (verdict, message) = try passed(codec, request, to: "other", test)
        #expect(message.bodyText == #"{ "model" : "other" ,"stream":true}"#)
    }

    @Test(arguments: [
        (#"{"model":"a"}"#, #"{"model":"up\"stream"}"#),
        (
            #"{ "messages":[{"model":"a"}], "model"  :  "a" , "x":"a" }"#,
            #"{ "messages":[{"model":"a"}], "model"  :  "up\"stream" , "x":"a" }"#
        ),
        (#"{"model":"\u0061","n":1.0e0}"#, #"{"model":"up\"stream","n":1.0e0}"#),
    ])
    func theNameAloneIsChanged(body: String, sent: String) throws {
        let test = TestArena()
        let codec = OpenAIProtocol(OpenAIOptions())
        let request = try chat(codec, body, test)
        let (verdict, message) = try passed(codec, request, to: #"up"stream"#, test)
        #expect(verdict == SLUICE_PASS)
        #expect(message.body_state == UInt32(SLUICE_BODY_WHOLE))
        #expect(message.bodyText == sent)
        #expect(message.body_size == UInt64(sent.utf8.count))
        #expect(message.body_count == 3, "the rest of the body is not copied")
    }

    @Test func otherProtocolsHaveNoFormHere() throws {
        let test = TestArena()
        let codec = OpenAIProtocol(OpenAIOptions())
        var message = sluice_message()
        let text = failure { () throws(CodecFailure) in
            _ = try codec.encodeRequest(sluice_request(), for: sluice_target(), into: &message, arena: test.arena)
        }
        #expect(text == "the request has no form in OpenAI's API")
        var response = sluice_response()
        response.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        #expect(
            failure { () throws(CodecFailure) in
                try codec.encode(response, to: sluice_request(), into: &message, arena: test.arena)
            } == "an answer of tensors has no form in OpenAI's API")
    }

    @Test func anAnswerKeepsWhatTheBackendSaid() throws {
        let test = TestArena()
        let codec = OpenAIProtocol(OpenAIOptions())
        let request = try chat(codec, #"{"model":"gpt"}"#, test)
        let received = test.array([
            test.message(
                #"{"error":{}}"#, fields: [("Content-Type", "application/json"), ("X-Request-Id", "r")], status: 429)
        ])
        var response = sluice_response()
        response.message = received
        #expect(try codec.decodeResponse(received.pointee, to: request, into: &response, arena: test.arena) == nil)
        #expect(response.http_status == 429)
        var message = sluice_message()
        try codec.encode(response, to: request, into: &message, arena: test.arena)
        #expect(message.status == 429)
        #expect(message.bodyText == #"{"error":{}}"#)
        #expect(
            (0..<Int(message.field_count)).map { message.fields[$0].name.text } == ["Content-Type", "X-Request-Id"])
    }

    // MARK: Errors

    @Test(arguments: [
        (400, "invalid_request_error", "null", "null"), (401, "authentication_error", "null", #""invalid_api_key""#),
        (403, "permission_error", "null", "null"),
        (404, "invalid_request_error", #""model""#, #""model_not_found""#),
        (408, "invalid_request_error", "null", "null"), (413, "invalid_request_error", "null", "null"),
        (429, "rate_limit_error", "null", #""rate_limit_exceeded""#), (500, "server_error", "null", "null"),
        (501, "server_error", "null", "null"), (502, "server_error", "null", "null"),
        (503, "server_error", "null", #""service_unavailable""#), (504, "server_error", "null", #""timeout""#),
    ])
    func errorsHaveTheAPIsShape(status: UInt32, type: String, param: String, code: String) throws {
        let test = TestArena()
        let codec = OpenAIProtocol(OpenAIOptions())
        var error = sluice_error()
        error.http_status = status
        error.message = test.bytes("no \"way\"")
        var message = sluice_message()
        try codec.encodeError(error, to: sluice_request(), into: &message, arena: test.arena)
        #expect(message.status == status)
        #expect(
            message.bodyText
                == #"{"error":{"message":"no \"way\"","type":""# + type + #"","param":"# + param + #","code":"# + code
                + "}}")
        #expect(message.field("content-type")?.text == "application/json")
    }

    @Test func aRefusalOfTheModelNamesIt() throws {
        let test = TestArena()
        let codec = OpenAIProtocol(OpenAIOptions())
        func refuse(_ body: String, fields: [(String, String)] = []) throws -> sluice_message {
            var request = try head(
                codec, "POST", "/v1/embeddings", route: "/v1/embeddings", test
            ).request
            request.message = test.array([test.message(body, fields: fields)])
            #expect(
                failure { () throws(CodecFailure) in try codec.decodeBody(&request, arena: test.arena) } != nil)
            var error = sluice_error()
            error.http_status = 400
            var message = sluice_message()
            try codec.encodeError(error, to: request, into: &message, arena: test.arena)
            return message
        }
        #expect(try refuse("{}").bodyText.contains(#""param":"model""#))
        #expect(try refuse("{").bodyText.contains(#""param":null"#))
        let compressed = try refuse("\u{1F}", fields: [("Content-Encoding", "gzip")])
        #expect(compressed.status == 415)
        #expect(compressed.bodyText.contains(#""message":"the request failed","type":"invalid_request_error""#))
    }
}
