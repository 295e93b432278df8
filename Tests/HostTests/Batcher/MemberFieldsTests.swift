import SluiceABI
import Testing

@testable import Host

@Suite struct MemberFieldsTests {
    @Test func whatIsOfTheWholeOrOfOneMemberStaysBehind() {
        let names: [(StaticString, Bool)] = [
            ("X-Model-Cost", true), ("Cache-Control", true), ("Retry-After", true), ("Set-Cookie", false),
            ("content-length", false), ("ETAG", false), ("Content-Encoding", false), ("Repr-Digest", false),
            ("Signature", false), ("Transfer-Encoding", false),
        ]
        for (name, isOfEach) in names {
            #expect(MemberFields.areOfEach(sluice_bytes(name)) == isOfEach, "\(name)")
        }
    }

    @Test func theAnswersFieldsComeFirstAndOfTheHeadWhatCachesRead() {
        let own = [field("X-A", "1"), field("Set-Cookie", "a=b"), field("X-B", "2")]
        let head = [field("Server", "s"), field("cache-control", "max-age=1"), field("Cache-Control", "public")]
        var names: [String] = []
        own.withUnsafeBufferPointer { own in
            head.withUnsafeBufferPointer { head in
                var response = sluice_response()
                response.fields = own.baseAddress
                response.field_count = UInt32(own.count)
                var message = sluice_message()
                message.fields = head.baseAddress
                message.field_count = UInt32(head.count)
                MemberFields.forEach(of: response, message) { names.append("\($0.name.text)=\($0.value.text)") }
            }
        }
        #expect(names == ["X-A=1", "X-B=2", "cache-control=max-age=1", "Cache-Control=public"])
    }

    @Test func aBlockHasThemInItsOwnMemory() throws {
        let fields = [field("X-A", "1"), field("X-Empty", "")]
        let block = try #require(fields.withUnsafeBufferPointer { TensorBlock(sluice_payload(), fields: $0) })
        defer { block.deallocate() }
        #expect(block.fields.map(\.name.text) == ["X-A", "X-Empty"])
        #expect(block.fields.map(\.value.text) == ["1", ""])
        #expect(block.fields[0].name.data != fields[0].name.data)
    }

    private func field(_ name: StaticString, _ value: StaticString) -> sluice_field {
        sluice_field(name: sluice_bytes(name), value: sluice_bytes(value))
    }
}
