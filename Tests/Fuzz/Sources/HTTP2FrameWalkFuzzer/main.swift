// Frames of a client: however the bytes are cut, the same frames are suspects, each byte is passed once, and both are
// as a reader says that has all bytes at once.
import FuzzDriver

struct Stop: Equatable {
    var place: Int
    var stream: Int32
}

/// Where the walk stops before a frame, in bytes that come in pieces, each in memory of its own size.
func walk(_ data: UnsafePointer<UInt8>, _ count: Int, cuts: [Int]) -> [Stop] {
    var walk = HTTP2FrameWalk()
    var stops: [Stop] = []
    var place = 0
    for end in cuts + [count] {
        var stoodStill = false
        while place < end {
            let piece = UnsafeMutablePointer<UInt8>.allocate(capacity: end - place)
            defer { piece.deallocate() }
            piece.update(from: data + place, count: end - place)
            let step = walk.advance(piece, end - place)
            expect(step.count >= 0 && step.count <= end - place, "a step stays within its bytes")
            expect(step.count > 0 || !stoodStill, "a walk goes on behind its suspect")
            stoodStill = step.count == 0
            if step.count < end - place {
                stops.append(Stop(place: place + step.count, stream: step.suspect))
            } else {
                expect(step.suspect == 0, "a suspect lies before bytes")
            }
            place += step.count
        }
    }
    expect(place == count, "each byte is passed")
    return stops
}

/// DATA and HEADERS of a stream among the last eight that ended (RFC 9113 §4.1, §6.1, §6.2, §6.4).
func reference(_ data: UnsafePointer<UInt8>, _ count: Int) -> [Stop] {
    var stops: [Stop] = []
    var ended: [Int32] = []
    var place = 24
    while place + 9 <= count {
        let size = (0..<3).reduce(0) { $0 << 8 | Int(data[place + $1]) }
        let (type, flags) = (data[place + 3], data[place + 4])
        let stream = Int32(truncatingIfNeeded: (5..<9).reduce(0) { $0 << 8 | Int(data[place + $1]) } & 0x7FFF_FFFF)
        if type <= 1, ended.suffix(8).contains(stream) {
            stops.append(Stop(place: place, stream: stream))
        } else if type == 3 || type <= 1 && flags & 1 == 1 {
            ended.append(stream)
        }
        place += 9 + size
    }
    return stops
}

fuzz { data, count in
    guard let data else { return 0 }
    let whole = walk(data, count, cuts: [])
    expect(whole == reference(data, count), "suspects are those of ended streams")
    let pieces = walk(data, count, cuts: cuts(of: count, by: data))
    expect(pieces.map(\.stream) == whole.map(\.stream), "cuts change no suspect")
    // Where a header is cut, its first bytes have gone on already.
    expect(
        zip(pieces, whole).allSatisfy { (0..<9).contains($0.place - $1.place) }, "cuts move a stop within its header")
    return 0
}
