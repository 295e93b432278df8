import Testing

@testable import Host

@Suite struct AdminTexts {
    @Test(arguments: [
        ("GET / HTTP/1.1\r\n", AdminRequest.Progress.incomplete),
        ("GET /a?b=c HTTP/1.1\r\n\r\n", .complete(AdminRequest(method: "GET", path: "/a", query: "b=c"))),
        ("GET /a HTTP/1.1\n\n", .complete(AdminRequest(method: "GET", path: "/a", query: ""))),
        ("POST /a HTTP/1.1\r\nContent-Length: 2\r\n\r\nx", .incomplete),
        (
            "POST /a HTTP/1.1\r\ncontent-length:2\r\n\r\nxy",
            .complete(AdminRequest(method: "POST", path: "/a", query: ""))
        ),
        ("POST /a HTTP/1.1\r\nContent-Length: 8192\r\n\r\n", .malformed(413, "the request exceeds 8192 bytes")),
        ("POST /a HTTP/1.1\r\nContent-Length: -1\r\n\r\n", .malformed(400, "not a Content-Length")),
        ("POST /a HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n", .malformed(400, "not a Content-Length")),
        ("POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", .malformed(411, "a body needs a Content-Length")),
        ("GET  /a HTTP/1.1\r\n\r\n", .malformed(400, "not a request line of HTTP/1.1")),
        ("GET http://a/ HTTP/1.1\r\n\r\n", .malformed(400, "not a request line of HTTP/1.1")),
        ("GET /a\r\n\r\n", .malformed(400, "not a request line of HTTP/1.1")),
        ("GET /a HTTP/2.0\r\n\r\n", .malformed(400, "not a request line of HTTP/1.1")),
        ("\r\n\r\n", .malformed(400, "not a request line of HTTP/1.1")),
    ])
    func requestIsRead(text: String, expected: AdminRequest.Progress) {
        #expect(AdminRequest.read(Array(text.utf8)) == expected)
    }

    @Test func answerThatWasCutIsNone() {
        let whole = Array("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc".utf8)
        #expect(AdminClient.parse(whole)?.status == 200)
        #expect(AdminClient.parse(whole)?.body == Array("abc".utf8))
        for end in 0..<whole.count { #expect(AdminClient.parse(Array(whole[..<end])) == nil) }
    }

    @Test func statusAsJSONHasEverything() {
        let json = String(decoding: StatusReport.example.json, as: UTF8.self)
        let expected = [
            #"{"version":"0.1.0","pid":42,"uptime_seconds":3725.5,"configuration":"/etc/sluice/plugins.yaml","#,
            #""generations":[{"number":7,"state":"draining","exchanges":2},"#,
            #"{"number":8,"state":"active","exchanges":5}],"#,
            #""listeners":["0.0.0.0:8080","unix:/run/sluice/gateway.sock"],"#,
            #""plugins":[{"name":"least-request","library":"libLeastRequest.so","version":"0.1","#,
            #""sha256":"0123456789abcdef","extensions":["sluice.balancer/1"],"degraded":false},"#,
            #"{"name":"jwt","library":"libJWT.so","version":"0.1","sha256":"0123456789abcdef","#,
            #""extensions":["sluice.filter/1"],"degraded":true}],"#,
            #""models":[{"name":"iris","versions":[{"name":"1","backend":"linear-model","queued":0,"under_way":0,"#,
            #""endpoints":[]},{"name":"2","queued":4,"under_way":3,"limit":20,"#,
            #""endpoints":[{"address":"http://127.0.0.1:8081","weight":1,"healthy":true,"#,
            #""ejected":false,"breaker":"closed","in_flight":1,"requests":100,"failures":1,"ewma_ns":250000},"#,
            #"{"address":"unix:/run/b.sock","weight":1,"healthy":false,"ejected":false,"#,
            #""breaker":"half_open","in_flight":3,"requests":9,"failures":9,"ewma_ns":1500000}]}]}],"#,
            #""workers":[{"connections":3,"exchanges":2},{"connections":1,"exchanges":3}],"#,
            #""images":[{"sha256":"0123456789abcdef","path":"/usr/lib/sluice/libLeastRequest.so","bytes":65536}]}"#,
        ].joined()
        #expect(json == expected + "\n")
    }

    @Test func statusAsTextIsATableForEachKindOfThing() {
        let lines = StatusReport.example.text.split(separator: "\n", omittingEmptySubsequences: false)
        let expected = """
            sluice 0.1.0, process 42, up 1 h 2 min
            configuration /etc/sluice/plugins.yaml
            listening on 0.0.0.0:8080, unix:/run/sluice/gateway.sock

            GENERATION  STATE     EXCHANGES
            7           draining  2
            8           active    5

            MODEL  VERSION  ENDPOINT                  STATE                         IN FLIGHT  QUEUED  REQUESTS  \
            FAILURES  FIRST BYTE
            iris   1        in process: linear-model                                           0
            iris   2        http://127.0.0.1:8081     healthy                       1          4       100       \
            1         250 µs
            iris   2        unix:/run/b.sock          unhealthy, breaker half_open  3                  9         \
            9         1.5 ms

            PLUGIN         LIBRARY             VERSION  SHA256        OFFERS             STATE
            least-request  libLeastRequest.so  0.1      0123456789ab  sluice.balancer/1
            jwt            libJWT.so           0.1      0123456789ab  sluice.filter/1    degraded

            WORKER  CONNECTIONS  EXCHANGES
            0       3            2
            1       1            3

            1 plugin images, 64 KiB

            """.split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines == expected)
    }

    @Test func nameWithATerminalsCommandsIsShownHarmless() {
        var report = StatusReport()
        report.models = [.init(name: "a\u{1B}[2Jb\u{9B}c", versions: [.init(name: "1", endpoints: [], queued: 0)])]
        #expect(report.text.contains("a?[2Jb?c"))
        #expect(!report.text.unicodeScalars.contains("\u{1B}"))
    }

    @Test func jsonEscapesWhatItMust() {
        var json = JSONText()
        json.array {
            $0.value("\"\\\n\r\t\u{0}\u{1F}\u{7F}é")
            $0.value(Double.infinity)
            $0.value(0.25)
            $0.object { _ in }
            $0.null()
            $0.value(false)
        }
        let expected = #"["\"\\\n\r\t\u0000\u001f\u007fé",null,0.25,{},null,false]"#
        #expect(String(decoding: json.bytes, as: UTF8.self) == expected)
    }
}
