// Responses of name servers: what is read keeps the bounds of DNS, belongs to the question, and makes weights that a
// host takes. The first byte chooses what was asked.
import DNSDiscoveryCodec
import FuzzDriver

nonisolated(unsafe) let questions = [
    DNSQuestion(name: "iris.example", type: .a), DNSQuestion(name: "iris.example", type: .aaaa),
    DNSQuestion(name: "_http._tcp.iris.example", type: .srv),
]

fuzz { data, count in
    guard count > 0, let data else { return 0 }
    let question = questions[Int(data[0]) % questions.count]
    let bytes = Array(UnsafeBufferPointer(start: data + 1, count: count - 1))
    guard let response = try? DNSMessage.response(bytes) else { return 0 }
    let records = response.answers + response.authority + response.additional
    expect(records.count <= count / 11, "a record has eleven bytes at least")
    // Each octet of a name may be written in four characters.
    expect(records.allSatisfy { $0.name.utf8.count <= 4 * 255 }, "names have a bound")
    expect(records.allSatisfy { $0.ttl <= 0x7FFF_FFFF }, "a TTL is not negative")
    if response.isTruncated { expect(records.isEmpty, "nothing of what was cut off is used") }
    let answer = DNSAnswer(response, to: question)
    switch answer.outcome {
    case .addresses(let addresses):
        expect(!addresses.isEmpty && Set(addresses).count == addresses.count, "each address stands once")
        expect(addresses.allSatisfy { $0.isVersion6 == (question.type == .aaaa) }, "they are of the type asked for")
    case .services(let services, let known):
        expect(services.allSatisfy { $0.port > 0 && DNSName.labels(of: $0.target) != nil }, "targets can be asked for")
        expect(known.keys.allSatisfy { name in services.contains { $0.target == name } }, "no stranger's address")
        let weights = ServiceWeights.endpoints(services.map { ($0, known[$0.target] ?? []) })
        expect(weights.values.allSatisfy { (1...65_535).contains($0) }, "weights are those that a host takes")
    case .alias(let name): expect(DNSName.labels(of: name) != nil, "what is to be asked for can be")
    case .nothing, .failed: break
    }
    return 0
}
