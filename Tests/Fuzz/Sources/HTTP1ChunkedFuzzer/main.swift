// Chunked bodies: decoding does not depend on the cuts, and takes off exactly what encoding puts on.
import FuzzDriver
import HTTP1

struct Decoded: Equatable {
    var content: [UInt8] = []
    var trailers: [UInt8]?
    var fault: ParseFault?
    var consumed = 0
}

func decode(_ data: UnsafePointer<UInt8>, _ count: Int, cuts: [Int]) -> Decoded {
    var decoder = ChunkedDecoder(trailerBytes: 512)
    var decoded = Decoded()
    for end in cuts + [count] {
        let bytes = UnsafeMutablePointer<UInt8>.allocate(capacity: max(end, 1))
        defer { bytes.deallocate() }
        bytes.update(from: data, count: end)
        while true {
            let available = end - decoded.consumed
            let step = decoder.next(bytes + decoded.consumed, count: available)
            expect(step.consumed >= 0 && step.consumed <= available, "a step stays within its bytes")
            switch step.event {
            case .data(let offset, let size):
                expect(size > 0 && offset + size == step.consumed, "data ends its step")
                decoded.content += UnsafeBufferPointer(start: bytes + decoded.consumed + offset, count: size)
            case .end(let offset, let size):
                expect(offset + size <= step.consumed, "trailers lie within their step")
                decoded.trailers = Array(UnsafeBufferPointer(start: bytes + decoded.consumed + offset, count: size))
                decoded.consumed += step.consumed
                return decoded
            case .failed(let fault):
                decoded.fault = fault
                decoded.consumed = 0
                return decoded
            case .needMore: break
            }
            decoded.consumed += step.consumed
            if step.event == .needMore { break }
        }
    }
    return decoded
}

/// The input itself as content, in chunks whose sizes it names.
func encode(_ data: UnsafePointer<UInt8>, _ count: Int) -> [UInt8] {
    var body: [UInt8] = []
    var line = [UInt8](repeating: 0, count: ChunkedEncoder.sizeLineBytes)
    var index = 0
    while index < count {
        let size = min(count - index, 1 + Int(data[index]))
        let digits = line.withUnsafeMutableBufferPointer { buffer in
            buffer.baseAddress.map { ChunkedEncoder.writeSizeLine(UInt64(size), to: $0) } ?? 0
        }
        body += line[..<digits]
        body += UnsafeBufferPointer(start: data + index, count: size)
        body += ChunkedEncoder.chunkEnd.description.utf8
        index += size
    }
    return body + ChunkedEncoder.end.description.utf8
}

fuzz { data, count in
    guard let data else { return 0 }
    let whole = decode(data, count, cuts: [])
    expect(decode(data, count, cuts: cuts(of: count, by: data)) == whole, "cuts change nothing")

    let body = encode(data, count)
    let decoded = body.withUnsafeBufferPointer { buffer in
        buffer.baseAddress.map { decode($0, buffer.count, cuts: cuts(of: buffer.count, by: $0)) }
    }
    let content = Array(UnsafeBufferPointer(start: data, count: count))
    expect(decoded == Decoded(content: content, trailers: [], consumed: body.count), "decoding undoes encoding")
    return 0
}
