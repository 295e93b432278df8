import SluicePlugin

/// An answer to `GET` of HTTP/1.0 or 1.1 whose connection was closed behind it, read in place: just enough to reach a
/// page of metrics.
public enum PageAnswer {
    /// Where the page lies within `answer`; nil when the status is not 200 or the message is broken or cut. A chunked
    /// one, which a server of 1.1 may send though it was asked in 1.0, is put together in place.
    public static func page(_ answer: UnsafeMutableRawBufferPointer) -> Range<Int>? {
        let bytes = Bytes(UnsafeRawBufferPointer(answer))
        guard bytes.count > 12, bytes.hasPrefix("HTTP/1."), bytes[8] == 0x20, bytes[9..<12] == "200" else { return nil }
        var position = 0
        var length: Int?
        var isChunked = false
        while true {
            guard let end = bytes.firstIndex(of: 0x0A, from: position) else { return nil }
            var line = bytes[position..<end]
            if line.at(line.count - 1) == 0x0D { line = line.dropLast() }
            position = end + 1
            if line.isEmpty { break }
            guard let colon = line.firstIndex(of: 0x3A) else { continue }
            let name = line[0..<colon]
            let value = line.dropFirst(colon + 1).trimmed
            if name.equalsIgnoringCase("content-length") {
                guard let size = value.integer, size >= 0, size <= Int64(Int32.max) else { return nil }
                length = Int(size)
            } else if name.equalsIgnoringCase("transfer-encoding") {
                guard value.equalsIgnoringCase("chunked") else { return nil }
                isChunked = true
            }
        }
        if isChunked { return joined(answer, from: position) }
        guard let length else { return position..<bytes.count }
        return length <= bytes.count - position ? position..<(position + length) : nil
    }

    /// Moves the chunks' content together (RFC 9112 §7.1); trailers are not looked at.
    private static func joined(_ answer: UnsafeMutableRawBufferPointer, from start: Int) -> Range<Int>? {
        guard let base = answer.baseAddress else { return nil }
        let bytes = Bytes(UnsafeRawBufferPointer(answer))
        var read = start
        var written = start
        while true {
            var size = 0
            var digits = 0
            while let byte = bytes.at(read), let digit = hexadecimal(byte) {
                size = size << 4 | digit
                digits += 1
                read += 1
                // 7 digits are 256 MiB, more than any answer is let grow to.
                guard digits <= 7 else { return nil }
            }
            guard digits > 0, let end = bytes.firstIndex(of: 0x0A, from: read) else { return nil }
            read = end + 1
            if size == 0 { return start..<written }
            guard size <= bytes.count - read else { return nil }
            (base + written).copyMemory(from: base + read, byteCount: size)
            written += size
            read += size
            if bytes.at(read) == 0x0D { read += 1 }
            guard bytes.at(read) == 0x0A else { return nil }
            read += 1
        }
    }

    private static func hexadecimal(_ byte: UInt8) -> Int? {
        if byte &- 0x30 < 10 { return Int(byte &- 0x30) }
        let letter = (byte | 0x20) &- 0x61
        return letter < 6 ? Int(letter) + 10 : nil
    }
}
