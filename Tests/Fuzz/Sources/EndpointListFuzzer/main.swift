// Lists of endpoints from a file, JSON or lines: what is accepted holds what the text said, within bounds, and can be
// written as JSON and read again to the same.
import FileDiscoveryCodec
import FuzzDriver

func written(_ text: String) -> String {
    var quoted = "\""
    for scalar in text.unicodeScalars {
        if scalar == "\"" || scalar == "\\" {
            quoted += "\\\(scalar)"
        } else if scalar.value < 32 {
            let digits = String(scalar.value, radix: 16)
            quoted += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        } else {
            quoted.unicodeScalars.append(scalar)
        }
    }
    return quoted + "\""
}

fuzz { data, count in
    let text = Array(UnsafeBufferPointer(start: data, count: count))
    if let endpoints = try? EndpointList.read(text) {
        expect(endpoints.count <= count, "an endpoint takes a byte")
        let items = endpoints.map {
            "{\"address\":\(written($0.address)),\"weight\":\($0.weight),\"zone\":\(written($0.zone))}"
        }
        let again = Array("[\(items.joined(separator: ","))]".utf8)
        if again.count <= EndpointList.bytesAtMost {
            expect((try? EndpointList.read(again)) == endpoints, "what was read can be written and read again")
        }
    }
    return 0
}
