import CZlib
import SluiceABI

/// Undoes a coding of bytes that are whole in memory. Knows neither sockets nor exchanges.
///
/// One thread's own. zlib's state, 7 KiB and a window of 32 KiB, is made with the first use and kept for the next.
struct Inflater: ~Copyable {
    enum Fault: Error, Equatable {
        /// The bytes are not of that coding, are cut short, or have others behind them.
        case malformed
        /// What comes out is beyond the limit.
        case tooLarge
        case noMemory
    }

    private var stream: UnsafeMutablePointer<z_stream>?

    init() {}

    deinit {
        guard let stream else { return }
        inflateEnd(stream)
        stream.deallocate()
    }

    /// What `input` inflates to, in a buffer of `buffers` that the caller gives back.
    ///
    /// Of gzip several members may follow each other (RFC 1952 §2.2). No more is inflated than twice `limit`, in bytes,
    /// whatever the input claims.
    mutating func inflate(
        _ input: sluice_bytes, _ coding: ContentCoding, limit: Int, _ buffers: inout BufferPool
    ) throws(Fault) -> Buffer {
        let stream = try begin(coding)
        // Text and tensors mostly come out three to four times as large.
        let guess = input.size.multipliedReportingOverflow(by: 4)
        var output = buffers.take(min(max(guess.overflow ? limit : guess.partialValue, BufferPool.small), limit + 1))
        guard !output.isAbsent else { throw .noMemory }
        do throws(Fault) {
            try run(stream, input, coding, limit, &output, &buffers)
        } catch {
            buffers.give(output)
            throw error
        }
        return output
    }

    private mutating func begin(_ coding: ContentCoding) throws(Fault) -> UnsafeMutablePointer<z_stream> {
        if let stream {
            guard inflateReset2(stream, coding.windowBits) == Z_OK else { throw .noMemory }
            return stream
        }
        let made = UnsafeMutablePointer<z_stream>.allocate(capacity: 1)
        made.initialize(to: z_stream())
        guard inflateInit2_(made, coding.windowBits, ZLIB_VERSION, Int32(MemoryLayout<z_stream>.size)) == Z_OK else {
            made.deallocate()
            throw .noMemory
        }
        stream = made
        return made
    }

    private func run(
        _ stream: UnsafeMutablePointer<z_stream>, _ input: sluice_bytes, _ coding: ContentCoding, _ limit: Int,
        _ output: inout Buffer, _ buffers: inout BufferPool
    ) throws(Fault) {
        // zlib counts in 32 bits.
        let atOnce = Int(UInt32.max)
        var taken = min(input.size, atOnce)
        stream.pointee.next_in = UnsafeMutablePointer(mutating: input.data)
        stream.pointee.avail_in = UInt32(taken)
        while true {
            let space = UInt32(min(output.space, atOnce))
            stream.pointee.next_out = output.tail
            stream.pointee.avail_out = space
            let code = CZlib.inflate(stream, Z_NO_FLUSH)
            output.end += Int(space - stream.pointee.avail_out)
            guard output.count <= limit else { throw .tooLarge }
            if stream.pointee.avail_in == 0, taken < input.size {
                let more = min(input.size - taken, atOnce)
                taken += more
                stream.pointee.avail_in = UInt32(more)
            }
            switch code {
            case Z_STREAM_END:
                if stream.pointee.avail_in == 0 { return }
                guard coding == .gzip, inflateReset(stream) == Z_OK else { throw .malformed }
            case Z_OK, Z_BUF_ERROR:
                if output.space > 0 {
                    // There was room, so that it is input that it lacks.
                    guard stream.pointee.avail_in > 0 else { throw .malformed }
                } else {
                    try grow(&output, limit, &buffers)
                }
            case Z_MEM_ERROR: throw .noMemory
            default: throw .malformed
            }
        }
    }

    /// One byte beyond the limit is enough to know that it is passed.
    private func grow(_ output: inout Buffer, _ limit: Int, _ buffers: inout BufferPool) throws(Fault) {
        var larger = buffers.take(min(output.capacity * 2, limit + 1))
        guard larger.capacity > output.capacity else {
            buffers.give(larger)
            throw .noMemory
        }
        larger.append(output.head, output.count)
        buffers.give(output)
        output = larger
    }
}
