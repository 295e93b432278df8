import SluiceHashing
import Testing

@testable import HTTP1

/// What a chunked body came to when fed in pieces.
struct DecodedBody: Equatable {
    var content: [UInt8] = []
    var trailers: [UInt8]?
    var fault: ParseFault?
    /// Bytes up to the end of the body, or of what was fed.
    var consumed = 0
}

/// Feeds a body as a connection does: what is not consumed is presented again with the next piece behind it.
func decodeChunked(_ body: [UInt8], cuts: [Int] = [], trailerBytes: Int = 4096) -> DecodedBody {
    var decoder = ChunkedDecoder(trailerBytes: trailerBytes)
    var decoded = DecodedBody()
    for end in cuts + [body.count] {
        feeding: while true {
            let piece = Array(body[decoded.consumed..<end])
            let step = piece.withUnsafeBufferPointer { buffer in
                var empty: UInt8 = 0
                return withUnsafePointer(to: &empty) { decoder.next(buffer.baseAddress ?? $0, count: piece.count) }
            }
            switch step.event {
            case .data(let offset, let count): decoded.content += piece[offset..<offset + count]
            case .end(let offset, let count):
                decoded.trailers = Array(piece[offset..<offset + count])
                decoded.consumed += step.consumed
                return decoded
            case .failed(let fault):
                decoded.fault = fault
                return decoded
            case .needMore:
                decoded.consumed += step.consumed
                break feeding
            }
            decoded.consumed += step.consumed
        }
    }
    return decoded
}

@Suite("Chunked bodies (RFC 9112 §7.1)")
struct ChunkedTests {
    static let accepted: [(String, content: String, trailers: String)] = [
        ("0\r\n\r\n", "", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello", ""),
        ("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", "hello world", ""),
        ("A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", "01234567890123456789", ""),
        ("0000000000000001\r\nx\r\n0\r\n\r\n", "x", ""),
        ("1;name=value\r\nx\r\n0;last\r\n\r\n", "x", ""),
        ("1 ; name=\"quoted\"\r\nx\r\n0\r\n\r\n", "x", ""),
        ("1;\r\nx\r\n0\r\n\r\n", "x", ""),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n", ""),
        ("0\r\nChecksum: abc\r\nX-More:\r\n\r\n", "", "Checksum: abc\r\nX-More:\r\n"),
        ("3\r\nabc\r\n0\r\ngrpc-status: 0\r\n\r\n", "abc", "grpc-status: 0\r\n"),
    ]

    static let refused: [(String, ParseFault)] = [
        ("\r\n", .badChunkSize), ("g\r\n", .badChunkSize), ("-1\r\n", .badChunkSize), ("+1\r\n", .badChunkSize),
        ("0x1\r\nx\r\n", .badChunkSize), (" 1\r\nx\r\n", .badChunkSize), ("1 \r\nx\r\n", .badChunkSize),
        ("1\u{0B}\r\nx", .badChunkSize), ("1,1\r\n", .badChunkSize), (";x\r\n", .badChunkSize),
        ("1\nx\r\n", .badChunkSize), ("1\rx", .bareCarriageReturn), ("1;a\nx", .badChunkExtension),
        ("1;a\0\r\nx", .badChunkExtension), ("1;a\rb", .bareCarriageReturn), ("1;\u{7F}\r\n", .badChunkExtension),
        ("8000000000000000\r\n", .chunkSizeTooLarge), ("FFFFFFFFFFFFFFFF\r\n", .chunkSizeTooLarge),
        ("10000000000000000\r\n", .chunkSizeTooLarge), ("00000000000000001\r\n", .chunkSizeTooLarge),
        ("1\r\nxy\r\n", .badChunkEnd), ("1\r\nx\n", .badChunkEnd), ("1\r\nx\rX", .badChunkEnd),
        ("1\r\nx0\r\n\r\n", .badChunkEnd), ("1;" + String(repeating: "a", count: 5000), .chunkFramingTooLarge),
        ("1" + String(repeating: " ", count: 5000), .chunkFramingTooLarge),
        (String(repeating: "1;" + String(repeating: "a", count: 99) + "\r\nx\r\n", count: 60), .chunkFramingTooLarge),
        ("0\r\n\n", .bareLineFeed), ("0\r\nA: b\n\r\n", .bareLineFeed), ("0\r\n folded\r\n\r\n", .foldedField),
        ("0\r\nA : b\r\n\r\n", .spaceBeforeColon), ("0\r\nA: \0\r\n\r\n", .badFieldValue),
        ("0\r\nnothing\r\n\r\n", .missingColon), ("0\r\nContent-Length: 5\r\n\r\n", .forbiddenTrailer),
        ("0\r\ntransfer-encoding: chunked\r\n\r\n", .forbiddenTrailer), ("0\r\nHost: a\r\n\r\n", .forbiddenTrailer),
        ("0\r\nConnection: close\r\n\r\n", .forbiddenTrailer),
        ("0\r\nX: " + String(repeating: "a", count: 5000), .trailersTooLarge),
        ("0\r\n" + String(repeating: "X: " + String(repeating: "a", count: 95) + "\r\n", count: 60), .trailersTooLarge),
        ("0\r\n" + String(repeating: "X: a\r\n", count: 129) + "\r\n", .tooManyFields),
    ]

    @Test("Good bodies give their content, their trailers and their end", arguments: accepted)
    func accepts(body: String, content: String, trailers: String) {
        let bytes = latin1(body + "GET /next")
        let whole = decodeChunked(bytes)
        #expect(whole.content == latin1(content))
        #expect(whole.trailers == latin1(trailers))
        #expect(whole.fault == nil)
        #expect(whole.consumed == body.utf8.count)
        for cut in 0...bytes.count { #expect(decodeChunked(bytes, cuts: [cut]) == whole, "cut at \(cut)") }
        #expect(decodeChunked(bytes, cuts: Array(0..<bytes.count)) == whole)
    }

    @Test("Bad bodies fail, however they are cut", arguments: refused)
    func refuses(body: String, fault: ParseFault) {
        let bytes = latin1(body)
        #expect(decodeChunked(bytes).fault == fault)
        #expect(decodeChunked(bytes, cuts: Array(0..<bytes.count)).fault == fault)
        for cut in 0...min(bytes.count, 200) { #expect(decodeChunked(bytes, cuts: [cut]).fault == fault) }
    }

    @Test("A signature on each large chunk is no excess")
    func signedChunks() {
        let chunk = "400;chunk-signature=" + String(repeating: "f", count: 64) + "\r\n"
        let body = String(repeating: chunk + String(repeating: "x", count: 1024) + "\r\n", count: 200) + "0\r\n\r\n"
        let decoded = decodeChunked(latin1(body))
        #expect(decoded.content.count == 200 * 1024)
        #expect(decoded.trailers == [])
    }

    @Test("What the encoder writes the decoder reads")
    func roundTrip() {
        var random = SplitMix64(seed: 7)
        for _ in 0..<300 {
            let content = (0..<Int.random(in: 0...400, using: &random)).map { _ in
                UInt8.random(in: 0...255, using: &random)
            }
            var body: [UInt8] = []
            var rest = content[...]
            while !rest.isEmpty {
                let piece = rest.prefix(Int.random(in: 1...200, using: &random))
                body += sizeLine(UInt64(piece.count)) + piece + [13, 10]
                rest = rest.dropFirst(piece.count)
            }
            body += latin1("0\r\n\r\n")
            let cuts = (0..<3).map { _ in Int.random(in: 0...body.count, using: &random) }.sorted()
            #expect(decodeChunked(body, cuts: cuts).content == content)
        }
    }

    @Test("Size lines are plain hexadecimal up to the largest number")
    func sizeLines() {
        let sizes: [(UInt64, String)] = [
            (1, "1"), (15, "f"), (16, "10"), (255, "ff"), (4096, "1000"), (.max, "ffffffffffffffff"),
        ]
        for (size, digits) in sizes { #expect(sizeLine(size) == latin1(digits + "\r\n")) }
    }

    private func sizeLine(_ size: UInt64) -> [UInt8] {
        var line = [UInt8](repeating: 0, count: ChunkedEncoder.sizeLineBytes)
        let count = line.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { ChunkedEncoder.writeSizeLine(size, to: $0) } ?? 0
        }
        return Array(line[..<count])
    }
}
