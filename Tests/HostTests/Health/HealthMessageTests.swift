import SluiceABI
import Testing

@testable import Host

/// What is read of grpc.health.v1.HealthCheckResponse.
@Suite struct HealthMessageTests {
    static func isServing(_ message: [UInt8]) -> Bool {
        message.withUnsafeBufferPointer {
            HealthMessage.isServing(sluice_bytes(data: $0.baseAddress, size: $0.count))
        }
    }

    @Test(
        arguments: [
            [0x08, 0x01],
            // Longer than it has to be, and once more: the last one counts.
            [0x08, 0x81, 0x00], [0x88, 0x00, 0x01], [0x08, 0x02, 0x08, 0x01],
        ] as [[UInt8]])
    func servingIsRead(_ message: [UInt8]) { #expect(Self.isServing(message)) }

    /// A field that nobody here knows, before and behind the one that is: of each wire type of proto3.
    @Test(
        arguments: [
            [0x10, 0x05], [0x10, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            [0x11, 1, 2, 3, 4, 5, 6, 7, 8], [0x12, 0x03, 0x08, 0x02, 0x08], [0x12, 0x00], [0x15, 1, 2, 3, 4],
            // The status as another type, and the largest number of a field.
            [0x0A, 0x01, 0x02], [0xF8, 0xFF, 0xFF, 0xFF, 0x0F, 0x07],
        ] as [[UInt8]])
    func unknownFieldsAreSkipped(_ field: [UInt8]) {
        #expect(Self.isServing([0x08, 0x01] + field))
        #expect(Self.isServing(field + [0x08, 0x01]))
        #expect(!Self.isServing(field + [0x08, 0x02]))
        #expect(!Self.isServing(field))
        // Cut short.
        for count in 1..<field.count { #expect(!Self.isServing([0x08, 0x01] + field.prefix(count))) }
    }

    @Test(
        arguments: [
            [], [0x08], [0x08, 0x00], [0x08, 0x02], [0x08, 0x03], [0x08, 0x01, 0x08, 0x02],
            // No field has the number 0, there is no wire type 6 or 7, and a group is not of proto3.
            [0x08, 0x01, 0x00, 0x01], [0x08, 0x01, 0x16, 0x01], [0x08, 0x01, 0x17], [0x08, 0x01, 0x13, 0x14],
            // A length beyond the end, and one that no message can have.
            [0x08, 0x01, 0x12, 0x02, 0x00],
            [0x08, 0x01, 0x12, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0x01],
            // Varints of more than ten bytes.
            [0x08, 0x81, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00],
            [0x88, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x01],
        ] as [[UInt8]])
    func whatSaysNoSuchThingIsNot(_ message: [UInt8]) { #expect(!Self.isServing(message)) }
}
