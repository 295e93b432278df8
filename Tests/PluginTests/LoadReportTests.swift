import LoadReports
import SluicePlugin
import Testing

@Suite struct LoadReportTests {
    private func with<Result>(_ text: String, _ body: (SluicePlugin.Bytes) -> Result) -> Result {
        KeptText(text).withBytes { body($0) }
    }

    private func metrics(_ field: String) -> [String: Double] {
        with(field) { bytes in
            var report = OrcaReport(bytes)
            var found: [String: Double] = [:]
            while let metric = report.next() { found[String(metric.name)] = metric.value }
            return found
        }
    }

    @Test func numbersAreReadAsCDoes() {
        let cases: [(String, Double?)] = [
            ("0", 0), ("3", 3), ("-2.5", -2.5), ("+1e3", 1000), ("1.5E-3", 0.0015), (".5", 0.5), ("5.", 5),
            ("18446744073709551617", 18_446_744_073_709_551_616), ("1e400", .infinity), ("1e-400", 0),
            ("Inf", .infinity), ("-inf", -.infinity),
            ("", nil), (".", nil), ("1e", nil), ("e5", nil), ("1 ", nil), ("0x10", nil),
            ("1.2.3", nil), ("--1", nil),
        ]
        for (text, expected) in cases { #expect(with(text) { DecimalNumber.parse($0) } == expected, "\(text)") }
        #expect(with("NaN") { DecimalNumber.parse($0)?.isNaN } == true)
    }

    @Test func samplesOfAPageAreFoundAmongComments() {
        let page = """
            # HELP vllm:num_requests_waiting Number of requests waiting to be processed.
            # TYPE vllm:num_requests_waiting gauge
            vllm:num_requests_waiting{engine="0",model_name="a\\"} b"} 3.0 1395066363000\r
            broken{
            up 1
            no_number nothing
              spaced { le = "0.5" , model = "m" }  7
            """
        with(page) { bytes in
            var text = MetricsText(bytes)
            var found: [(String, Double)] = []
            var isOfModel: [Bool] = []
            while let sample = text.next() {
                found.append((String(sample.name), sample.value))
                isOfModel.append(sample.has(Bytes("model"), Bytes("m")))
            }
            #expect(found.map(\.0) == ["vllm:num_requests_waiting", "up", "spaced"])
            #expect(found.map(\.1) == [3, 1, 7])
            #expect(isOfModel == [false, false, true])
        }
    }

    @Test func orcaIsReadInItsForms() {
        #expect(
            metrics("TEXT cpu_utilization=0.3, named_metrics.num_requests_waiting=2")
                == ["cpu_utilization": 0.3, "num_requests_waiting": 2])
        #expect(
            metrics("application_utilization:4,named_metrics.queue_depth:4")
                == ["application_utilization": 4, "queue_depth": 4])
        #expect(
            metrics(
                #"JSON {"cpu_utilization": 0.3, "s": "x,}", "named_metrics": {"queue_depth": 4, "n": null}, "eps": 1}"#)
                == ["cpu_utilization": 0.3, "queue_depth": 4, "eps": 1])
        #expect(metrics(#"{"queue_depth":5}"#) == ["queue_depth": 5])
        #expect(metrics("BIN CZqZmZmZmbk/MQAAAAAAAABA").isEmpty)
        #expect(metrics(#"JSON {"a": 1, "b" 2, "c": 3}"#) == ["a": 1])
        #expect(metrics("JSON [1]").isEmpty)
    }

    @Test func aPageIsTakenOutOfItsAnswer() {
        func page(_ answer: String) -> String? {
            var bytes = Array(answer.utf8)
            return bytes.withUnsafeMutableBytes { memory in
                PageAnswer.page(memory).map { String(decoding: memory[$0], as: UTF8.self) }
            }
        }
        #expect(page("HTTP/1.0 200 OK\r\nA: b\r\n\r\nq 1\n") == "q 1\n")
        #expect(page("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nq 1\n") == "q 1")
        #expect(page("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nq 1\n") == nil)
        let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        #expect(page(chunked + "2;x\r\nq \r\n2\r\n1\n\r\n0\r\n\r\n") == "q 1\n")
        #expect(page(chunked + "9\r\nq \r\n") == nil)
        #expect(page("HTTP/1.1 404 Not Found\r\n\r\nq 1\n") == nil)
        #expect(page("q 1\n") == nil)
    }
}
