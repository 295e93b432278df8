import EtcdDiscoveryCodec
import FileDiscoveryCodec
import Testing

@Suite struct EtcdHTTPTests {
    static func answer(_ text: String, pieces: Int) throws -> HTTPAnswer {
        var answer = HTTPAnswer()
        let bytes = Array(text.utf8)
        for begin in stride(from: 0, to: bytes.count, by: pieces) {
            try answer.push(bytes[begin..<min(begin + pieces, bytes.count)])
        }
        return answer
    }

    /// However the bytes come.
    @Test(arguments: [1, 2, 3, 7, 1_000]) func bodiesOfAllKindsAreRead(_ pieces: Int) throws {
        func body(_ text: String) throws -> String {
            var answer = try Self.answer(text, pieces: pieces)
            try answer.end()
            #expect(answer.status == 200 && answer.isComplete)
            return String(decoding: answer.content, as: UTF8.self)
        }
        let interim = "HTTP/1.1 100 Continue\r\n\r\n"
        #expect(try body(interim + "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef") == "abc")
        #expect(try body("HTTP/1.1 200\nContent-Length: 0\n\n") == "")
        #expect(try body("HTTP/1.0 200 OK\r\n\r\nuntil the end") == "until the end")
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\nTrailer: A\r\n\r\n"
        #expect(try body(chunked + "3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nA: b\r\n\r\n") == "abc0123456789")
    }

    @Test(arguments: [1, 5, 1_000]) func linesOfAStreamComeWhole(_ pieces: Int) throws {
        var answer = HTTPAnswer()
        var lines: [String] = []
        let stream = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nab\nc\r\n3\r\nd\n\n\r\n2\r\nef\r\n"
        let bytes = Array(stream.utf8)
        for begin in stride(from: 0, to: bytes.count, by: pieces) {
            try answer.push(bytes[begin..<min(begin + pieces, bytes.count)])
            while let line = answer.takeLine() { lines.append(String(decoding: line, as: UTF8.self)) }
        }
        #expect(lines == ["ab", "cd", ""])
        #expect(!answer.isComplete && answer.content.elementsEqual("ef".utf8))
        #expect(throws: EtcdFault.self) { try answer.end() }
    }

    @Test(arguments: [
        "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/2 200\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 2000\r\n\r\n", "\r\n",
        "HTTP/1.1 099 No\r\n\r\n", "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFFF\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
    ])
    func whatIsNoAnswerIsRefused(_ text: String) {
        #expect(throws: EtcdFault.self) { try Self.answer(text, pieces: 1_000) }
        #expect(throws: EtcdFault.self) { try Self.answer(text, pieces: 1) }
    }

    @Test func nothingGrowsWithoutEnd() throws {
        let large = [UInt8](repeating: 97, count: 1 << 20)
        for begin in ["", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"] {
            var answer = try Self.answer(begin, pieces: 1_000)
            #expect(throws: EtcdFault.self) { try answer.push(large) }
        }
        var fields = try Self.answer("HTTP/1.1 200 OK\r\n", pieces: 1_000)
        #expect(throws: EtcdFault.self) { while true { try fields.push(Array("a: b\r\n".utf8)) } }
        var body = try Self.answer("HTTP/1.1 200 OK\r\n\r\n", pieces: 1_000)
        for _ in 0..<16 { try body.push(large) }
        #expect(throws: EtcdFault.self) { try body.push(large) }
    }

    /// What is too large is told apart: less may be asked for.
    @Test func anAnswerThatIsTooLargeIsToldApart() throws {
        func isTooLarge(_ text: String, _ more: [UInt8] = []) throws -> Bool {
            var answer = HTTPAnswer()
            do throws(EtcdFault) {
                try answer.push(Array(text.utf8))
                try answer.push(more)
            } catch { return error.isTooLarge }
            throw EtcdFault("it was taken")
        }
        let size = HTTPAnswer.bodyAtMost + 1
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(try isTooLarge("HTTP/1.1 200 OK\r\nContent-Length: \(size)\r\n\r\n"))
        #expect(try isTooLarge(chunked + String(size, radix: 16) + "\r\n"))
        #expect(try isTooLarge("HTTP/1.1 200 OK\r\n\r\n", [UInt8](repeating: 97, count: size)))
        #expect(try !isTooLarge("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"))
        #expect(try !isTooLarge(chunked + "x\r\n"))
    }
}

@Suite struct EtcdAnswerTests {
    static func bytes(_ text: String) -> [UInt8] { Array(text.utf8) }
    static func coded(_ text: String) -> String { EtcdRequest.base64(bytes(text)) }
    static func entry(_ key: String, _ value: String, _ revision: Int64) -> EtcdEntry {
        EtcdEntry(key: bytes(key), value: bytes(value), revision: revision)
    }

    @Test func bytesAreWrittenInBase64() {
        // RFC 4648 §10.
        let expected = ["": "", "f": "Zg==", "fo": "Zm8=", "foo": "Zm9v", "foob": "Zm9vYg==", "fooba": "Zm9vYmE="]
        for (text, code) in expected { #expect(Self.coded(text) == code) }
        #expect(EtcdRequest.base64([0xFB, 0xFF, 0xFE]) == "+//+")
    }

    @Test func aPrefixEndsWhereTheNextOneBegins() {
        #expect(EtcdRequest.end(of: Self.bytes("/a/")) == Self.bytes("/a0"))
        #expect(EtcdRequest.end(of: [1, 255, 255]) == [2])
        #expect(EtcdRequest.end(of: [255]) == [0])
    }

    @Test func requestsAreWholeMessages() {
        let request = EtcdRequest.authenticate("a\"b", "\u{1}\\")
        #expect(request.body == #"{"name":"a\"b","password":"\u0001\\"}"#)
        let text = String(decoding: request.bytes(host: "h:1", token: "t"), as: UTF8.self)
        #expect(text.hasPrefix("POST /v3/auth/authenticate HTTP/1.1\r\nHost: h:1\r\n"))
        #expect(text.contains("\r\nContent-Length: \(request.body.utf8.count)\r\n"))
        #expect(text.hasSuffix("\r\nAuthorization: t\r\n\r\n" + request.body))
        let watch = EtcdRequest.watch(Self.bytes("/a/"), from: 7)
        #expect(
            watch.body == #"{"create_request":{"key":"L2Ev","range_end":"L2Ew","start_revision":"7"}}"#)
    }

    @Test func aPageOfKeysIsRead() throws {
        let text = """
            {"header":{"cluster_id":"3","revision":"12","raft_term":"2"},"kvs":[
            {"key":"\(Self.coded("/a/1"))","create_revision":"3","mod_revision":"5","version":"1","lease":"7",
             "value":"\(Self.coded("10.0.0.1:80"))"},
            {"key":"\(Self.coded("/a/2"))","mod_revision":6}],"more":true,"count":"9","new":[{}]}
            """
        let range = try EtcdRange.read(Self.bytes(text))
        #expect(range.revision == 12 && range.count == 9 && range.hasMore)
        #expect(range.entries == [Self.entry("/a/1", "10.0.0.1:80", 5), Self.entry("/a/2", "", 6)])
        // Nothing under the prefix is left out altogether.
        let none = try EtcdRange.read(Self.bytes(#"{"header":{"revision":"3"}}"#))
        #expect(none.revision == 3 && none.count == 0 && none.entries.isEmpty && !none.hasMore)
    }

    @Test func messagesOfAWatchAreRead() throws {
        func read(_ text: String) throws -> EtcdWatchMessage { try EtcdWatchMessage.read(Self.bytes(text)) }
        #expect(try read(#"{"result":{"header":{"revision":"3"},"created":true}}"#) == .created)
        let put = #"{"kv":{"key":"\#(Self.coded("k"))","mod_revision":"4","value":"\#(Self.coded("v"))"}}"#
        let gone = #"{"type":"DELETE","kv":{"key":"\#(Self.coded("k"))","mod_revision":"5"}}"#
        #expect(
            try read(#"{"result":{"header":{},"events":[\#(put),\#(gone)]}}"#)
                == .events([.put(Self.entry("k", "v", 4)), .deleted(key: Self.bytes("k"), revision: 5)]))
        // How far the member is, without a change.
        #expect(try read(#"{"result":{"header":{"revision":"9"}}}"#) == .events([]))
        #expect(
            try read(#"{"result":{"canceled":true,"compact_revision":"4"}}"#) == .cancelled(compacted: 4, reason: ""))
        #expect(
            try read(#"{"result":{"created":true,"canceled":true,"cancel_reason":"per\u0001mission"}}"#)
                == .cancelled(compacted: 0, reason: "per?mission"))
        #expect(throws: EtcdFault("no leader")) { try read(#"{"error":{"grpc_code":14,"message":"no leader"}}"#) }
        #expect(throws: EtcdFault("no leader")) { try read(#"{"error":"no leader","code":14}"#) }
    }

    @Test(arguments: [
        "", "[]", "garbage", "{", #"{"result":{"events":[{}]}}"#, #"{"result":{"events":[{"kv":{"key":""}}]}}"#,
        #"{"result":{"events":[{"kv":{"key":"!"}}]}}"#, #"{"result":{"compact_revision":"x"}}"#,
        #"{"result":{"created":1}}"#, #"{"result":{"events":[{"kv":{"key":"QQ==","mod_revision":1.5}}]}}"#,
    ])
    func whatIsNoMessageIsRefused(_ text: String) {
        #expect(throws: EtcdFault.self) { try EtcdWatchMessage.read(Self.bytes(text)) }
    }

    @Test func complaintsAreShort() throws {
        func complaint(_ text: String) -> String { EtcdText.complaint(Self.bytes(text), status: 503) }
        #expect(
            complaint(#"{"error":"etcdserver: no\nleader"}"#) == "it answers with status 503, etcdserver: no?leader")
        #expect(complaint("<html>") == "it answers with status 503")
        #expect(complaint(#"{"error":"\#(String(repeating: "a", count: 5_000))"}"#).utf8.count < 300)
        #expect(throws: EtcdFault.self) { try EtcdText.token(Self.bytes(#"{"token":"a\r\nb"}"#)) }
        #expect(try EtcdText.token(Self.bytes(#"{"header":{},"token":"abc.1"}"#)) == "abc.1")
    }
}

@Suite struct EtcdSetTests {
    typealias Entry = EtcdAnswerTests

    static func apply(_ events: [EtcdEvent], to set: inout EtcdSet) -> Bool { set.apply(events) }

    @Test func valuesAreEndpointsInManyForms() throws {
        func one(_ text: String) throws -> ListedEndpoint { try EndpointList.readOne(Array(text.utf8)) }
        #expect(try one(" 10.0.0.1:80\n") == ListedEndpoint(address: "10.0.0.1:80"))
        #expect(try one("\"http://a:1\"") == ListedEndpoint(address: "http://a:1"))
        #expect(
            try one("{\"address\":\"a:1\",\"weight\":2,\"zone\":\"b\"}")
                == ListedEndpoint(address: "a:1", weight: 2, zone: "b"))
        for text in ["", " ", "a b", "{}", "[\"a\"]", "\"a", "\u{e4}", "{\"address\":\"a\"} x"] where text != "[\"a\"]"
        {
            #expect(throws: ListFault.self) { try one(text) }
        }
        #expect(throws: ListFault.self) { try one(String(repeating: "a", count: EndpointList.bytesOfOneAtMost + 1)) }
    }

    @Test func keysComeGoAndAreReplaced() {
        var set = EtcdSet()
        set.replace([Entry.entry("/a", "b:1", 3), Entry.entry("/b", "a:1", 4)])
        #expect(set.endpoints.map(\.address) == ["a:1", "b:1"])
        #expect(set.count == 2 && set.latest == 4)
        #expect(
            Self.apply([.deleted(key: Array("/b".utf8), revision: 5), .put(Entry.entry("/c", "c:1", 6))], to: &set))
        #expect(set.endpoints.map(\.address) == ["b:1", "c:1"])
        #expect(set.count == 2 && set.latest == 6)
        set.replace([])
        #expect(set.endpoints.isEmpty && set.latest == 0)
    }

    @Test func aValueThatCannotBeReadLeavesTheLastOneInForce() {
        var set = EtcdSet()
        set.replace([Entry.entry("/a", "a:1", 3)])
        #expect(Self.apply([.put(Entry.entry("/a", "{", 4)), .put(Entry.entry("/b", "", 5))], to: &set))
        #expect(set.endpoints.map(\.address) == ["a:1"])
        #expect(
            set.complaint.hasPrefix("the value of `/a` is no endpoint: ") && set.complaint.hasSuffix(", and 1 more"))
        // Also when all is read anew.
        set.replace([Entry.entry("/a", "{", 4)])
        #expect(set.endpoints.map(\.address) == ["a:1"])
        #expect(Self.apply([.put(Entry.entry("/a", "b:1", 6))], to: &set))
        #expect(set.endpoints.map(\.address) == ["b:1"] && set.complaint.isEmpty)
    }

    @Test func oneAddressUnderTwoKeysIsOneEndpoint() {
        var set = EtcdSet()
        set.replace([
            Entry.entry("/old", #"{"address":"a:1","weight":1}"#, 3),
            Entry.entry("/new", #"{"address":"a:1","weight":5}"#, 4),
        ])
        #expect(set.endpoints == [ListedEndpoint(address: "a:1", weight: 5)])
        #expect(set.count == 2)
    }

    @Test func anAddressIsTheSameHoweverItIsWritten() {
        func endpoints(_ old: String, _ new: String) -> [ListedEndpoint] {
            var set = EtcdSet()
            set.replace([
                Entry.entry("/z", #"{"address":"\#(old)"}"#, 3),
                Entry.entry("/a", #"{"address":"\#(new)","weight":0}"#, 4),
            ])
            return set.endpoints
        }
        for (old, new) in [
            ("a:1", "http://a:1"), ("http://a:1", "a:1"), ("grpc://a:1", "a:1/"), ("A:1", "http://a:1/"),
            ("unix:/a", "unix:/a"),
        ] {
            #expect(endpoints(old, new) == [ListedEndpoint(address: new, weight: 0)], "\(old), then \(new)")
        }
        // Only one of them is of the pool's scheme.
        #expect(endpoints("http://a:1", "https://a:1").map(\.address) == ["http://a:1", "https://a:1"])
        #expect(endpoints("unix:/A", "unix:/a").map(\.address) == ["unix:/A", "unix:/a"])
    }

    /// Keys of one transaction have one revision, and all gateways are to see the same.
    @Test func ofOneTransactionTheFirstKeyCounts() {
        var set = EtcdSet()
        set.replace((0..<20).map { Entry.entry("/\($0 + 10)", #"{"address":"a:1","weight":\#($0 + 1)}"#, 3) })
        #expect(set.endpoints == [ListedEndpoint(address: "a:1", weight: 1)])
    }

    @Test func aSetHasABound() {
        var set = EtcdSet()
        let events = (0...EtcdSet.keysAtMost).map { EtcdEvent.put(Entry.entry("/\($0)", "a:\($0)", 1)) }
        let fits = set.apply(Array(events.dropLast()))
        let isTooMany = !set.apply([events[events.count - 1]])
        #expect(fits && isTooMany)
    }

    @Test func eachMemberHasItsTurnBeforeAPause() {
        var turns = EtcdTurns(count: 3, pauseAtMostMs: 300, first: 5)
        #expect(turns.index == 2)
        var pauses: [Int] = []
        var members: [Int] = []
        for _ in 0..<12 {
            pauses.append(turns.failed(served: false, random: 0))
            members.append(turns.index)
        }
        #expect(pauses == [0, 0, 100, 0, 0, 200, 0, 0, 300, 0, 0, 300])
        #expect(members == [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2])
        // Who served for a while does not make the others wait.
        #expect(turns.failed(served: true, random: 1) == 0)
        var alone = EtcdTurns(count: 1, pauseAtMostMs: 300, first: 0)
        #expect(alone.failed(served: true, random: 1) == 50)
        #expect(alone.failed(served: true, random: 0) == 100)
    }
}

extension EtcdSet {
    /// All that there is, on one page.
    fileprivate mutating func replace(_ entries: [EtcdEntry]) {
        var found = EtcdSet()
        let fits = found.add(entries, before: self)
        #expect(fits)
        self = found
    }
}
