import HTTP1
import SluiceABI

/// One direction of an exchange: what is still to be sent to the sink, and where the rest comes from.
///
/// What was serialized (a head, chunk framing) is in `staged` and goes first. Then come pieces in memory, for a
/// message made here, or bytes of the source's input buffer, for a body that streams; those are sent from where they
/// were received. Chunked framing is decoded and written anew through `staged`.
struct BodyFlow {
    enum Source: UInt8 {
        /// Nothing follows `staged` and `pieces`.
        case none
        case length
        case chunked
        case untilClose
    }

    var source = Source.none
    /// The sink gets chunked framing.
    var sinkIsChunked = false
    /// All of the body was taken from the source.
    var sourceEnded = true
    /// Of a tunnel: the sink was told that nothing follows.
    var sinkEnded = false
    /// The head was put into `staged`: bytes may flow.
    var begun = false
    var staged = Buffer.none
    /// Bytes of the source still to come, for `length`.
    var remaining: UInt64 = 0
    /// The size that the head has said; `.max`: none.
    var announced = UInt64.max
    var decoder = ChunkedDecoder()
    /// Filters are shown what passes through `staged`: one piece of data at a time is put there, at `unseenStart`.
    var showsChunks = false
    var unseenStart = 0
    var unseenCount = 0
    /// Bytes at the front of the source's input that filters have seen already.
    var inspected = 0
    /// The sink takes trailer fields beside the body; `trailers` has their lines.
    var keepsTrailers = false
    var trailers = Buffer.none
    /// Hashes the bytes of the body as they came from the source; nil: nobody compares it.
    var digest: UnsafeMutablePointer<BodyDigest>? { didSet { isObserved = digest != nil || kept != nil } }
    /// Of a request that may be repeated: what has been taken of its small body; nil: it is not kept.
    var kept: UnsafeMutablePointer<KeptBody>? { didSet { isObserved = digest != nil || kept != nil } }
    /// One of the two is there: asked of each piece, which hardly ever is to be hashed or kept.
    private(set) var isObserved = false
    var pieces: UnsafePointer<sluice_bytes>?
    var pieceCount = 0
    var pieceIndex = 0
    /// Bytes of `pieces[pieceIndex]` that were sent.
    var pieceOffset = 0
    /// The pieces are a body that was gathered: `bodyBytes` has them already.
    var piecesAreCounted = false
    /// Bytes of the body that were sent or staged, or gathered.
    var bodyBytes: UInt64 = 0

    // Inlined: a call would be given a copy of all the flow.
    @inline(__always)
    var hasPieces: Bool { pieceIndex < pieceCount }

    /// The source's bytes go to the sink as they lie; else they pass through `staged`.
    @inline(__always)
    var isDirect: Bool { source == .length || (source == .untilClose && !sinkIsChunked) }

    /// The body is over with its stream, and not with the last byte of its length: trailers may follow. libnghttp2
    /// compares what comes with what was announced. `isEmpty`: it is over already, and had neither.
    mutating func endsWithStream(isEmpty: Bool) {
        guard source == .length, !(sourceEnded && isEmpty) else { return }
        source = .untilClose
        sourceEnded = false
    }

    mutating func setSource(_ framing: BodyFraming) {
        announced = .max
        switch framing {
        case .none:
            source = .none
            sourceEnded = true
        case .length(let size):
            source = .length
            remaining = size
            announced = size
            sourceEnded = size == 0
        case .chunked:
            source = .chunked
            sourceEnded = false
        case .untilClose:
            source = .untilClose
            sourceEnded = false
        }
    }
}
