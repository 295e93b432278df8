// What undoes the coding of a body or message. The first byte says which coding and what the limit is, the rest is what
// came.
import FuzzDriver
import HTTP1
import SluiceABI

/// What comes out, or nil; and that no buffer is left behind.
func inflated(
    _ inflater: inout Inflater, _ bytes: sluice_bytes, _ coding: ContentCoding, limit: Int
) -> (content: [UInt8]?, isTooLarge: Bool) {
    var buffers = BufferPool(spareBytes: 0)
    defer { expect(buffers.bytesInUse == 0, "no buffer is left behind") }
    do throws(Inflater.Fault) {
        let buffer = try inflater.inflate(bytes, coding, limit: limit, &buffers)
        defer { buffers.give(buffer) }
        expect(buffer.count <= limit, "the limit holds")
        return (Array(UnsafeBufferPointer(start: buffer.head, count: buffer.count)), false)
    } catch {
        expect(error != .noMemory, "there is memory")
        return (nil, error == .tooLarge)
    }
}

fuzz { data, count in
    guard let data, count > 0 else { return 0 }
    let coding = data[0] & 1 == 0 ? ContentCoding.gzip : .deflate
    let limit = Int(data[0] >> 1) * 512
    let bytes = sluice_bytes(data: data + 1, size: count - 1)
    var inflater = Inflater()
    let first = inflated(&inflater, bytes, coding, limit: limit)
    let again = inflated(&inflater, bytes, coding, limit: limit)
    expect(
        first.content == again.content && first.isTooLarge == again.isTooLarge, "one input leaves nothing to the next")
    if let content = first.content {
        expect(inflated(&inflater, bytes, coding, limit: content.count).content == content, "the limit is inclusive")
        guard content.count > 0 else { return 0 }
        expect(inflated(&inflater, bytes, coding, limit: content.count - 1).isTooLarge, "the limit is exact")
    }
    return 0
}
