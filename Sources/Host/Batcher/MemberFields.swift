import HTTP1
import SluiceABI

/// Which fields of the answer to a batch are about each member's answer as well.
enum MemberFields {
    /// Not those of the whole body, of which a member gets a part: its length and framing (RFC 9112 §6), its coding,
    /// range and validator (RFC 9110 §8.4, §8.8.3, §14.4), its digests (RFC 9530 and before) and what signs them (RFC
    /// 9421). Nor those that name one thing for one client: a cookie must not become everybody's (RFC 6265 §4.1).
    private static let ofTheWhole: [StaticString] = [
        "content-length", "transfer-encoding", "trailer", "content-encoding", "content-range", "etag", "content-md5",
        "digest", "content-digest", "repr-digest", "signature", "signature-input", "set-cookie", "location",
        "content-location",
    ]

    private static let cacheControl: StaticString = "cache-control"

    static func areOfEach(_ name: sluice_bytes) -> Bool {
        !ofTheWhole.contains { name.equalsIgnoringCase(sluice_bytes($0)) }
    }

    /// Calls `body` with each such field: those that the answer has for the client, and what the endpoint's own head
    /// says to caches, which no adapter hands on.
    static func forEach(of response: sluice_response, _ head: sluice_message?, _ body: (sluice_field) -> Void) {
        for index in 0..<Int(response.field_count) where areOfEach(response.fields[index].name) {
            body(response.fields[index])
        }
        guard let head else { return }
        for index in 0..<Int(head.field_count)
        where head.fields[index].name.equalsIgnoringCase(sluice_bytes(cacheControl)) {
            body(head.fields[index])
        }
    }
}
