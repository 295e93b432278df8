// Prints what the evaluation of rules costs, in nanoseconds: the median of 31 rounds of 20,000 evaluations each, and
// the fastest round. The request has twelve header fields and a tensor; every rule is true to its last comparison, so
// that no short cut is measured.
import CLinux
import Glibc
import Rules
import SluiceABI

/// C memory that is never freed: this program ends.
func bytes(_ text: String) -> sluice_bytes {
    let memory = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: text.utf8.count)
    _ = memory.initialize(from: text.utf8)
    return sluice_bytes(data: UnsafePointer(memory.baseAddress), size: memory.count)
}

func place<Element>(_ elements: [Element]) -> UnsafeMutablePointer<Element> {
    let memory = UnsafeMutablePointer<Element>.allocate(capacity: elements.count)
    for (index, element) in elements.enumerated() { (memory + index).initialize(to: element) }
    return memory
}

let headers = [
    ("host", "gateway.test"), ("user-agent", "tritonclient/2.41"), ("accept", "*/*"),
    ("accept-encoding", "gzip, deflate"), ("connection", "keep-alive"), ("x-request-id", "8f14e45f-ceea-467f-a0e6"),
    ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"), ("x-forwarded-for", "192.0.2.7"),
    ("x-api-key", "secret"), ("content-length", "512"), ("content-type", "application/json"), ("x-tier", "gold"),
]
let body = #"{"user": {"plan": "pro", "age": 31}, "inputs": [{"name": "image", "shape": [1, 3, 768, 1025]}]}"#

var message = sluice_message()
message.method = bytes("POST")
message.path = bytes("/v2/models/image/infer")
message.query = bytes("size=large&seed=7")
message.fields = UnsafePointer(place(headers.map { sluice_field(name: bytes($0.0), value: bytes($0.1)) }))
message.field_count = UInt32(headers.count)
message.body_state = UInt32(SLUICE_BODY_WHOLE)
message.body_size = UInt64(body.utf8.count)
message.body = UnsafePointer(place([bytes(body)]))
message.body_count = 1
var tensor = sluice_tensor()
tensor.name = bytes("image")
tensor.datatype = UInt32(SLUICE_DATATYPE_FP32)
tensor.rank = 4
tensor.shape = UnsafePointer(place([1, 3, 768, 1025] as [Int64]))
var request = sluice_request()
request.message = UnsafePointer(place([message]))
request.tenant = bytes("acme")
request.model = bytes("image")
request.priority = 5
request.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
request.payload.tensors = UnsafePointer(place([tensor]))
request.payload.tensor_count = 1

let view = RequestView(
    UnsafePointer(place([request])), context: nil, exchange: nil, allocate: { _, _, size in malloc(size) })

let rules: [(name: String, text: String)] = [
    ("one comparison", #"priority == 5"#),
    (
        "five comparisons: fields of the head",
        #"method == "POST" and path starts_with "/v2/" and tenant == "acme" and model != "digits" and priority <= 5"#
    ),
    (
        "five comparisons: header, tensor, list",
        #"header("x-tier") == "gold" and tensor("image").shape[3] > 1024 and tensor("image").datatype == "FP32" "#
            + #"and tenant in ["initech", "acme"] and body_size < 1000"#
    ),
    (
        "five comparisons: five headers of twelve",
        #"header("x-tier") == "gold" and content_type == "application/json" and header("x-api-key") != "" "#
            + #"and header("accept") == "*/*" and integer(header("content-length")) > 100"#
    ),
    ("one field of JSON in 100 bytes", #"json("user.plan") == "pro""#),
]

func nanoseconds(_ rule: Rule, _ view: RequestView) -> (median: Double, fastest: Double) {
    let rounds = 31
    let evaluations = 20_000
    var times: [Double] = []
    for _ in 0..<rounds {
        let start = clinux_monotonic_ns()
        var held = 0
        for _ in 0..<evaluations where Rule.evaluate(rule.handle, view) == .holds { held += 1 }
        let time = clinux_monotonic_ns() - start
        precondition(held == evaluations, "the rule holds")
        times.append(Double(time) / Double(evaluations))
    }
    times.sort()
    return (times[rounds / 2], times[0])
}

func padded(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(width - text.count, 0)) + text
}

print("\(padded("median", 51))\(padded("fastest", 9))  ns")
for (name, text) in rules {
    let (median, fastest) = nanoseconds(try Rule(text), view)
    let label = name + String(repeating: " ", count: max(44 - name.count, 0))
    print(label + padded("\(Int(median.rounded()))", 7) + padded("\(Int(fastest.rounded()))", 9))
}
