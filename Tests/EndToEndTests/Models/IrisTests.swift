import Foundation
import Testing

/// Iris flowers that training never saw.
enum HeldOut {
    static let rows: [(measurements: [Double], label: Int)] = {
        let path = Clients.root + "/Plugins/LinearModel/Training/held-out.csv"
        let species = ["setosa", "versicolor", "virginica"]
        return ((try? String(contentsOfFile: path, encoding: .utf8)) ?? "").split(separator: "\n").compactMap { line in
            let cells = line.split(separator: ",")
            guard cells.count == 5, let label = species.firstIndex(of: String(cells[4])) else { return nil }
            return (cells.prefix(4).compactMap { Double($0) }, label)
        }
    }()
}

extension EndToEnd {
    /// The model that `make run` serves, in this process, by each protocol.
    @Suite struct Iris {
        static func configuration() -> GatewayConfiguration {
            var configuration = GatewayConfiguration()
            configuration.adapters = ["open-inference", "rest-predict"]
            configuration.models = [
                "  iris:", "    versions:", "      \"1\": { backend: linear-model }", "    labels: { stable: \"1\" }",
                "  gone:", "    versions:",
                "      \"1\": { endpoints: [ \"http://127.0.0.1:1\" ], protocol: open-inference }",
            ]
            return configuration
        }

        private func infer(_ rows: [[Double]], datatype: String = "FP64") -> String {
            """
            {"id": "q", "inputs": [{"name": "input", "shape": [\(rows.count), 4], "datatype": "\(datatype)", \
            "data": \(rows)}]}
            """
        }

        @Test func heldOutAccuracyOverV2() throws {
            #expect(HeldOut.rows.count == 51)
            let gateway = try Gateway(Self.configuration())
            let response = try gateway.post("/v2/models/iris/infer", infer(HeldOut.rows.map(\.measurements)))
            #expect(response.status == 200)
            let answer = try JSON(response.bodyText)
            #expect(answer["model_name"].text == "iris")
            #expect(answer["model_version"].text == "1")
            #expect(answer["id"].text == "q")
            let labels = answer["outputs"].named("label")
            #expect(labels["datatype"].text == "INT64")
            #expect(labels["shape"].integers == [51])
            let right = zip(labels["data"].integers, HeldOut.rows).count { $0 == $1.label }
            #expect(Double(right) / 51 >= 0.9)
            let probabilities = answer["outputs"].named("probabilities")
            #expect(probabilities["shape"].integers == [51, 3])
            let flat = probabilities["data"].numbers
            for row in 0..<flat.count / 3 { #expect(abs(flat[(row * 3)..<(row * 3 + 3)].reduce(0, +) - 1) < 1e-5) }
        }

        @Test(arguments: ["FP64", "FP32", "INT32", "UINT8"]) func numericTypes(datatype: String) throws {
            let gateway = try Gateway(Self.configuration())
            let rows: [[Double]] = [[5, 3, 1, 0], [6, 3, 6, 2]]
            let data = rows.map { $0.map { "\(Int($0))" }.joined(separator: ",") }.joined(separator: ",")
            let body = """
                {"inputs": [{"name": "anything", "shape": [2, 4], "datatype": "\(datatype)", "data": [\(data)]}],
                 "outputs": [{"name": "label"}]}
                """
            let answer = try JSON(try gateway.post("/v2/models/iris/versions/1/infer", body).bodyText)
            #expect(answer["outputs"].array.count == 1)
            #expect(answer["outputs"].named("label")["data"].integers == [0, 2])
        }

        @Test func binaryTensorsBothWays() throws {
            let gateway = try Gateway(Self.configuration())
            let header = """
                {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP32", \
                "parameters": {"binary_data_size": 32}}], \
                "parameters": {"binary_data_output": true}}
                """
            var body = bytes(header)
            for value: Float in [5.1, 3.5, 1.4, 0.2, 6.3, 3.3, 6.0, 2.5] {
                withUnsafeBytes(of: value.bitPattern.littleEndian) { body += $0 }
            }
            let socket = try gateway.connect()
            socket.send(
                "POST /v2/models/iris/infer HTTP/1.1\r\nHost: a\r\nContent-Type: application/octet-stream\r\n"
                    + "Inference-Header-Content-Length: \(header.utf8.count)\r\nContent-Length: \(body.count)\r\n\r\n")
            socket.send(body)
            let response = try #require(try MessageReader(socket).response(to: "POST"))
            #expect(response.status == 200)
            let length = try #require(response.field("inference-header-content-length").flatMap { Int($0) })
            let answer = try JSON(text(response.body[..<length]))
            #expect(answer["outputs"].named("label")["parameters"]["binary_data_size"].integer == 16)
            // Tensors follow in the order of the outputs.
            var offset = length
            for output in answer["outputs"].array {
                if output["name"].text == "label" { break }
                offset += output["parameters"]["binary_data_size"].integer ?? 0
            }
            let labels = (0..<2).map { index in
                response.body[(offset + index * 8)..<(offset + index * 8 + 8)].reversed().reduce(0) {
                    $0 << 8 | Int($1)
                }
            }
            #expect(labels == [0, 2])
        }

        @Test func rowsAndColumnsOverRestPredict() throws {
            let gateway = try Gateway(Self.configuration())
            let rows = "[[5.1, 3.5, 1.4, 0.2], [6.3, 3.3, 6.0, 2.5]]"
            for path in [
                "/v1/models/iris:predict", "/v1/models/iris/versions/1:predict", "/v1/models/iris/versions/1/predict",
                "/v1/models/iris/labels/stable:predict",
            ] {
                let row = try gateway.post(path, "{\"instances\": \(rows)}")
                #expect(row.status == 200, "\(path): \(row.bodyText)")
                let predictions = try JSON(row.bodyText)["predictions"].array
                #expect(predictions.map { $0["label"].integer } == [0, 2], "\(path): \(row.bodyText)")
                let column = try gateway.post(path, "{\"inputs\": \(rows)}")
                #expect(
                    try JSON(column.bodyText)["outputs"]["label"].integers == [0, 2], "\(path): \(column.bodyText)")
            }
        }

        @Test func metadataAndReadiness() throws {
            let gateway = try Gateway(Self.configuration())
            #expect(try gateway.get("/v2/health/live").status == 200)
            #expect(try gateway.get("/v2/health/ready").status == 200)
            #expect(try gateway.get("/v2/models/iris/ready").status == 200)
            #expect(try gateway.get("/v2/models/iris/versions/1/ready").status == 200)
            let server = try JSON(try gateway.get("/v2").bodyText)
            #expect(server["name"].text != nil)
            #expect(server["extensions"].array.contains { $0.text == "binary_tensor_data" })
            let model = try JSON(try gateway.get("/v2/models/iris").bodyText)
            #expect(model["name"].text == "iris")
            #expect(model["versions"].array.map(\.text) == ["1"])
            #expect(model["inputs"][0]["shape"].integers == [-1, 4])
            #expect(model["outputs"].array.compactMap { $0["name"].text } == ["label", "probabilities"])
        }

        @Test func errorsHaveTheShapeOfTheirProtocol() throws {
            let gateway = try Gateway(Self.configuration())
            let good = infer([[5.1, 3.5, 1.4, 0.2]])
            let cases: [(String, String, ClosedRange<Int>)] = [
                ("/v2/models/nobody/infer", good, 404...404),
                ("/v2/models/iris/versions/9/infer", good, 404...404),
                ("/v1/models/nobody:predict", "{\"instances\": [[1, 2, 3, 4]]}", 404...404),
                ("/v2/models/iris/infer", "{\"inputs\": [", 400...400),
                (
                    "/v2/models/iris/infer", infer([[1, 2, 3]]).replacingOccurrences(of: "[1, 4]", with: "[1, 3]"),
                    400...400
                ),
                ("/v2/models/iris/infer", infer([[1, 2, 3]]), 400...400),
                ("/v1/models/iris:predict", "{\"instances\": 5}", 400...400),
                ("/v1/models/iris:predict", "nonsense", 400...400),
                ("/v2/models/gone/infer", good, 502...503),
                ("/v1/models/gone:predict", "{\"instances\": [[1, 2, 3, 4]]}", 502...503),
            ]
            for (path, body, statuses) in cases {
                let response = try gateway.post(path, body)
                #expect(statuses.contains(response.status), "\(path): \(response.status) \(response.bodyText)")
                #expect(response.field("content-type")?.hasPrefix("application/json") == true, "\(path)")
                let error = try JSON(response.bodyText)["error"].text
                #expect(error?.isEmpty == false, "\(path): \(response.bodyText)")
            }
            #expect(try gateway.get("/nowhere").status == 404)
        }

        @Test func aTimeoutIs504InTheShapeOfItsProtocol() throws {
            let backend = try ScriptedBackend { connection in
                _ = try connection.reader.request()
                _ = connection.socket.closedByPeer()
            }
            var configuration = Self.configuration()
            configuration.models = [
                "  slow:", "    versions:",
                "      \"1\": { endpoints: [ \"\(backend.endpoint)\" ], protocol: open-inference }",
                "    timeout_ms: 200",
            ]
            let gateway = try Gateway(configuration)
            for (path, body) in [
                ("/v2/models/slow/infer", infer([[1, 2, 3, 4]])), ("/v1/models/slow:predict", "{\"instances\": [[1]]}"),
            ] {
                let response = try gateway.post(path, body)
                #expect(response.status == 504)
                #expect(try JSON(response.bodyText)["error"].text?.isEmpty == false)
            }
        }

        /// Answered in the message, a client would read what lay in its region before.
        @Test(arguments: [nil, "size-or-delay"]) func sharedMemoryIsRefusedByItsName(batcher: String?) throws {
            var configuration = Self.configuration()
            configuration.batcher = batcher
            configuration.gateway = ["  batching: { max_batch_size: 8, max_delay_ms: 1 }"]
            let gateway = try Gateway(configuration)
            let region = "\"shared_memory_region\": \"r\", \"shared_memory_byte_size\": 32"
            for (input, output) in [("\"data\": [5, 3, 1, 0]", region), ("\"parameters\": { \(region) }", "")] {
                let answer = try gateway.post(
                    "/v2/models/iris/infer",
                    """
                    {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", \(input)}],
                     "outputs": [{"name": "label", "parameters": {\(output)}}]}
                    """)
                #expect(answer.status == 501)
                #expect(
                    try JSON(answer.bodyText)["error"].text
                        == "the model is served in the gateway, which neither reads nor writes shared memory")
            }
        }

        @Test func anUnknownOutputIsNamed() throws {
            let gateway = try Gateway(Self.configuration())
            let answer = try gateway.post(
                "/v2/models/iris/infer",
                """
                {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [5, 3, 1, 0]}],
                 "outputs": [{"name": "label"}, {"name": "colour"}]}
                """)
            #expect(answer.status == 400)
            #expect(try JSON(answer.bodyText)["error"].text == "the model has no output of that name 'colour'")
        }

        @Test func weightsOfTheConfiguration() throws {
            var configuration = Self.configuration()
            configuration.models = [
                "  sizes:", "    versions:", "      \"1\":", "        backend: linear-model", "        config:",
                "          features: [ width ]", "          classes: [ small, large ]",
                "          weights: [ [ -1 ], [ 1 ] ]", "          intercepts: [ 2, -2 ]",
            ]
            let gateway = try Gateway(configuration)
            let answer = try JSON(try gateway.post("/v1/models/sizes:predict", "{\"instances\": [[1], [3]]}").bodyText)
            #expect(answer["predictions"].array.map { $0["label"].integer } == [0, 1])
        }

        @Test func trainingCanBeRepeated() throws {
            let script = Clients.root + "/Plugins/LinearModel/Training/train.py"
            let result = try ChildProcess.run("python3", [script, "--check"], .after(seconds: 60))
            #expect(result.status == 0, "\(result.errors)")
        }
    }
}
