import CZlib
import SluiceABI
import Testing

@testable import Host

struct InflaterTests {
    /// By zlib's own compressor, in the frame that `coding` has.
    private static func deflate(_ content: [UInt8], _ coding: ContentCoding) throws -> [UInt8] {
        var stream = z_stream()
        try #require(
            deflateInit2_(
                &stream, 6, Z_DEFLATED, coding.windowBits, 8, Z_DEFAULT_STRATEGY, ZLIB_VERSION,
                Int32(MemoryLayout<z_stream>.size)) == Z_OK)
        defer { deflateEnd(&stream) }
        var output = [UInt8](repeating: 0, count: content.count + content.count / 100 + 128)
        var input = content
        let count = input.withUnsafeMutableBufferPointer { input in
            output.withUnsafeMutableBufferPointer { output in
                stream.next_in = input.baseAddress
                stream.avail_in = UInt32(input.count)
                stream.next_out = output.baseAddress
                stream.avail_out = UInt32(output.count)
                return CZlib.deflate(&stream, Z_FINISH) == Z_STREAM_END ? output.count - Int(stream.avail_out) : -1
            }
        }
        try #require(count >= 0)
        return Array(output.prefix(count))
    }

    private static let text = (0..<9_000).map { UInt8(($0 * 7 + $0 / 31) & 127) }

    /// What comes out, or what is wrong; and that no buffer is left behind.
    private func inflate(
        _ bytes: [UInt8], _ coding: ContentCoding, limit: Int = 1 << 20, with inflater: inout Inflater
    ) -> Result<[UInt8], Inflater.Fault> {
        var buffers = BufferPool(spareBytes: 0)
        let result: Result<[UInt8], Inflater.Fault> = bytes.withUnsafeBufferPointer { bytes in
            do throws(Inflater.Fault) {
                let buffer = try inflater.inflate(
                    sluice_bytes(data: bytes.baseAddress, size: bytes.count), coding, limit: limit, &buffers)
                defer { buffers.give(buffer) }
                return .success(Array(UnsafeBufferPointer(start: buffer.head, count: buffer.count)))
            } catch {
                return .failure(error)
            }
        }
        #expect(buffers.bytesInUse == 0)
        return result
    }

    private func inflate(
        _ bytes: [UInt8], _ coding: ContentCoding, limit: Int = 1 << 20
    ) -> Result<[UInt8], Inflater.Fault> {
        var inflater = Inflater()
        return inflate(bytes, coding, limit: limit, with: &inflater)
    }

    @Test(arguments: [ContentCoding.gzip, .deflate])
    func whatWasCompressedComesBack(_ coding: ContentCoding) throws {
        var inflater = Inflater()
        for count in [0, 1, 4_095, 4_096, 4_097, 9_000] {
            let content = Array(Self.text.prefix(count))
            let bytes = try Self.deflate(content, coding)
            let whole = inflate(bytes, coding, with: &inflater)
            #expect(whole == .success(content), "\(count)")
            // One that failed leaves nothing to the next.
            let cut = inflate(bytes.dropLast(), coding, with: &inflater)
            #expect(cut == .failure(.malformed), "\(count)")
        }
    }

    @Test func oneInflaterTakesOneCodingAfterTheOther() throws {
        var inflater = Inflater()
        for coding in [ContentCoding.gzip, .deflate, .gzip, .deflate] {
            let result = inflate(try Self.deflate(Self.text, coding), coding, with: &inflater)
            #expect(result == .success(Self.text))
        }
    }

    @Test(arguments: [ContentCoding.gzip, .deflate])
    func whatIsCutShortIsRefused(_ coding: ContentCoding) throws {
        let bytes = try Self.deflate(Array(Self.text.prefix(300)), coding)
        for count in 0..<bytes.count {
            #expect(inflate(Array(bytes.prefix(count)), coding) == .failure(.malformed), "\(count)")
        }
        #expect(inflate(bytes + [0], coding) == .failure(.malformed))
        for index in bytes.indices.suffix(4) {
            var other = bytes
            other[index] ^= 1
            #expect(inflate(other, coding) == .failure(.malformed), "\(index)")
        }
    }

    /// RFC 1952 §2.2. The frame of zlib has no such thing.
    @Test func membersOfGzipFollowEachOther() throws {
        let bytes = try Self.deflate(Self.text, .gzip)
        #expect(inflate(bytes + bytes, .gzip) == .success(Self.text + Self.text))
        #expect(inflate(bytes + bytes.dropLast(), .gzip) == .failure(.malformed))
        let other = try Self.deflate(Self.text, .deflate)
        #expect(inflate(other + other, .deflate) == .failure(.malformed))
    }

    @Test func neitherIsTheOther() throws {
        #expect(inflate(try Self.deflate(Self.text, .gzip), .deflate) == .failure(.malformed))
        #expect(inflate(try Self.deflate(Self.text, .deflate), .gzip) == .failure(.malformed))
    }

    @Test(arguments: [1, 300, 4_096, 9_000]) func theLimitIsExact(_ size: Int) throws {
        let content = Array(Self.text.prefix(size))
        let bytes = try Self.deflate(content, .gzip)
        #expect(inflate(bytes, .gzip, limit: size) == .success(content))
        #expect(inflate(bytes, .gzip, limit: size - 1) == .failure(.tooLarge))
        #expect(inflate(bytes, .gzip, limit: 0) == .failure(.tooLarge))
    }

    @Test func aBombTakesNoMoreThanItsLimit() throws {
        let bomb = try Self.deflate([UInt8](repeating: 0, count: 32 << 20), .deflate)
        #expect(bomb.count < 64 << 10)
        #expect(inflate(bomb, .deflate) == .failure(.tooLarge))
        // Also in many members, each of which is small.
        let member = try Self.deflate([UInt8](repeating: 0, count: 64 << 10), .gzip)
        let many = [[UInt8]](repeating: member, count: 64).flatMap { $0 }
        #expect(inflate(many, .gzip) == .failure(.tooLarge))
    }

    @Test func namesAreThoseOfTheirFields() {
        for (name, content, message) in [
            ("gzip", ContentCoding.gzip, ContentCoding.gzip), ("deflate", .deflate, .deflate), ("GZip", .gzip, nil),
            ("x-gzip", .gzip, nil), ("br", nil, nil), ("", nil, nil), ("gzip, gzip", nil, nil), ("snappy", nil, nil),
        ] as [(StaticString, ContentCoding?, ContentCoding?)] {
            #expect(ContentCoding(content: sluice_bytes(name)) == content, "\(name)")
            #expect(ContentCoding(message: sluice_bytes(name)) == message, "\(name)")
        }
    }

    @Test func smallBodiesMayGrowAndLargeOnesInProportion() {
        var limits = RequestLimits()
        limits.bodyBytes = 10_000
        limits.inflatedBytes = 1_000
        limits.inflationRatio = 16
        #expect(limits.inflated(1) == 1_000)
        #expect(limits.inflated(62) == 1_000)
        #expect(limits.inflated(63) == 1_008)
        #expect(limits.inflated(9_000) == 10_000)
        #expect(limits.inflated(.max) == 10_000)
    }
}
