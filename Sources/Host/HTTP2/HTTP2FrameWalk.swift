/// Follows a client's frames by their headers (RFC 9113 §4.1), to find DATA and HEADERS of a stream on which the client
/// has said that it sends no more. libnghttp2 passes over such frames once it has forgotten the stream, and keeping it
/// from forgetting costs some hundred bytes for each of as many streams as may be open. Pure.
struct HTTP2FrameWalk {
    private static let headerSize = 9
    private static let data: UInt8 = 0
    private static let headers: UInt8 = 1
    private static let resetStream: UInt8 = 3
    private static let endStream: UInt8 = 1

    private var header = SIMD16<UInt8>(repeating: 0)
    private var headerCount = 0
    /// Bytes until the next frame begins: at first those of the preface.
    private var left = 24
    /// Streams that the client has ended, by END_STREAM or RST_STREAM: the last few, since they are looked through for
    /// every frame. A client that comes back to an older one is passed over as libnghttp2 does it.
    private var ended = SIMD8<Int32>(repeating: -1)
    private var endedPosition = 0

    /// Walks on until all bytes are passed, or to where a frame begins that may not be: `suspect` is its stream, else
    /// 0. `count` bytes lie before it; the walk goes on behind them.
    mutating func advance(_ bytes: UnsafePointer<UInt8>, _ count: Int) -> (count: Int, suspect: Int32) {
        var place = 0
        while place < count {
            if left > 0 {
                let step = min(left, count - place)
                left -= step
                place += step
                continue
            }
            let begin = place
            while headerCount < Self.headerSize, place < count {
                header[headerCount] = bytes[place]
                headerCount += 1
                place += 1
            }
            guard headerCount == Self.headerSize else { break }
            headerCount = 0
            left = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
            if let suspect = look() {
                // The part of the header that came with these bytes is not passed yet.
                left += place - begin
                return (begin, suspect)
            }
        }
        return (count, 0)
    }

    /// The stream of the frame whose header is there, when the client had ended it.
    private mutating func look() -> Int32? {
        let type = header[3]
        guard type <= Self.resetStream else { return nil }
        let number =
            UInt32(header[5] & 0x7F) << 24 | UInt32(header[6]) << 16 | UInt32(header[7]) << 8 | UInt32(header[8])
        let stream = Int32(number)
        if type == Self.data || type == Self.headers {
            for index in 0..<8 where ended[index] == stream { return stream }
            guard header[4] & Self.endStream != 0 else { return nil }
        } else if type != Self.resetStream {
            return nil
        }
        ended[endedPosition] = stream
        endedPosition = (endedPosition + 1) & 7
        return nil
    }
}
