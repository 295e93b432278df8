import Glibc
import HTTP1
import SluiceABI

/// Gathers a request's header block and writes it as the head of an HTTP/1.1 message.
///
/// The head then goes through the one strict parser that all requests go through, so that no form of request exists in
/// HTTP/2 alone that an endpoint would read differently (RFC 9113 §10.3). What a line of text could be misread for is
/// refused here: no byte that ends a line comes in.
struct HTTP2Head {
    enum Fault {
        /// Larger than the limit of a head: 431.
        case tooLarge
        /// 400.
        case malformed
        case noMemory
    }

    private(set) var fault: Fault?
    /// The request is for a head alone, so that no answer to it has content; known also when the rest is refused.
    private(set) var isHead = false
    private var text = Buffer.none
    /// The crumbs of the Cookie field, joined (RFC 9113 §8.2.3).
    private var cookie = Buffer.none
    /// Where the values of pseudo-header fields lie before the request line is written; size -1 while absent.
    private var method = (offset: 0, size: -1)
    private var path = (offset: 0, size: -1)
    private var authority = (offset: 0, size: -1)
    private var lineStart = -1
    /// The size of the block as RFC 9113 §6.5.2 counts it.
    private var listSize = 0
    private let limit: Int

    /// `limit`: bytes of the header list, each field counted with 32 bytes more.
    init(limit: Int) { self.limit = limit }

    mutating func add(_ name: sluice_bytes, _ value: sluice_bytes, _ pool: inout BufferPool) {
        if name.size == 7, name == sluice_bytes(":method") { isHead = value == sluice_bytes("HEAD") }
        guard fault == nil else { return }
        listSize += name.size + value.size + 32
        guard listSize <= limit else { return fail(.tooLarge) }
        guard Self.isOneLine(name), Self.isOneLine(value), let first = name.data else { return fail(.malformed) }
        if first[0] == UInt8(ascii: ":") {
            guard lineStart < 0 else { return fail(.malformed) }
            let place = (offset: text.count, size: value.size)
            switch name.size {
            case 5: path = place
            case 7 where first[1] == UInt8(ascii: "m"): method = place
            case 10: authority = place
            // :scheme says nothing that the connection does not say.
            default: return
            }
            append(value, &pool)
            return
        }
        if lineStart < 0 { writeLine(&pool) }
        if name.size == 4, name == sluice_bytes("host") {
            // :authority is what counts; a second opinion is refused, not weighed. The letters of a host have no case
            // (RFC 9110 §4.2.3).
            if authority.size >= 0 {
                if !value.equalsIgnoringCase(view(authority)) { fail(.malformed) }
                return
            }
        } else if name.size == 6, name == sluice_bytes("cookie") {
            if cookie.isAbsent {
                Self.append(sluice_bytes("cookie: "), to: &cookie, &pool, &fault)
            } else {
                Self.append(sluice_bytes("; "), to: &cookie, &pool, &fault)
            }
            Self.append(value, to: &cookie, &pool, &fault)
            return
        }
        guard Self.reserve(name.size + value.size + 4, in: &text, &pool) else { return fail(.noMemory) }
        text.appendLine(name, value)
    }

    /// The whole head, from its request line on; nil when `fault` says why. The buffer is the caller's then.
    mutating func finish(_ pool: inout BufferPool) -> Buffer? {
        if fault == nil, lineStart < 0 { writeLine(&pool) }
        if !cookie.isAbsent {
            append(sluice_bytes(cookie.head.asImmutable, cookie.count), &pool)
            append(sluice_bytes("\r\n"), &pool)
        }
        append(sluice_bytes("\r\n"), &pool)
        guard fault == nil else { return nil }
        text.start = lineStart
        let whole = text
        text = .none
        release(&pool)
        return whole
    }

    /// Gives back what is held.
    mutating func release(_ pool: inout BufferPool) {
        pool.give(text)
        pool.give(cookie)
        text = .none
        cookie = .none
    }

    private mutating func fail(_ fault: Fault) { self.fault = self.fault ?? fault }

    /// `GET /path HTTP/1.1` and Host. CONNECT has no path (RFC 9113 §8.5); it becomes what it is in HTTP/1.1.
    private mutating func writeLine(_ pool: inout BufferPool) {
        lineStart = text.count
        guard method.size > 0, path.size > 0 || authority.size > 0 else { return fail(.malformed) }
        let needed = method.size + max(path.size, 0) + 2 * max(authority.size, 0) + 64
        guard Self.reserve(needed, in: &text, &pool) else { return fail(.noMemory) }
        // The views stay where they are from here on: there is room for all that follows.
        append(view(method), &pool)
        append(sluice_bytes(" "), &pool)
        append(view(path.size > 0 ? path : authority), &pool)
        append(sluice_bytes(" HTTP/1.1\r\n"), &pool)
        if authority.size >= 0 {
            append(sluice_bytes("host: "), &pool)
            append(view(authority), &pool)
            append(sluice_bytes("\r\n"), &pool)
        }
    }

    private func view(_ place: (offset: Int, size: Int)) -> sluice_bytes {
        guard let base = text.base, place.size > 0 else { return .empty }
        return sluice_bytes((base + place.offset).asImmutable, place.size)
    }

    private mutating func append(_ bytes: sluice_bytes, _ pool: inout BufferPool) {
        Self.append(bytes, to: &text, &pool, &fault)
    }

    private static func append(
        _ bytes: sluice_bytes, to buffer: inout Buffer, _ pool: inout BufferPool, _ fault: inout Fault?
    ) {
        guard fault == nil, bytes.size > 0, let data = bytes.data else { return }
        guard reserve(bytes.size, in: &buffer, &pool) else {
            fault = .noMemory
            return
        }
        buffer.append(data, bytes.size)
    }

    private static func reserve(_ size: Int, in buffer: inout Buffer, _ pool: inout BufferPool) -> Bool {
        if buffer.space >= size { return true }
        var larger = pool.take(max(buffer.count + size, buffer.capacity * 2))
        guard !larger.isAbsent else { return false }
        if buffer.count > 0 { larger.append(buffer.head, buffer.count) }
        pool.give(buffer)
        buffer = larger
        return true
    }

    /// Whether no byte of it ends a line or a string.
    static func isOneLine(_ bytes: sluice_bytes) -> Bool {
        guard let data = bytes.data else { return true }
        guard bytes.size >= 8 else {
            for index in 0..<bytes.size where data[index] == 0x0D || data[index] == 0x0A || data[index] == 0 {
                return false
            }
            return true
        }
        let ones: UInt64 = 0x0101_0101_0101_0101
        // Bit 7 of a byte is set where the byte is 0, or above one that is; beyond that nowhere ("Hacker's Delight",
        // 6-1). Eight at a time, the last ones together with some from before.
        func zeros(_ word: UInt64) -> UInt64 { (word &- ones) & ~word }
        var found: UInt64 = 0
        var place = 0
        while true {
            let word = UnsafeRawPointer(data + place).loadUnaligned(as: UInt64.self)
            found |= zeros(word) | zeros(word ^ (ones &* 0x0D)) | zeros(word ^ (ones &* 0x0A))
            if place == bytes.size &- 8 { return found & (ones &* 0x80) == 0 }
            place = min(place &+ 8, bytes.size &- 8)
        }
    }
}

extension Buffer {
    /// `name: value` and the end of the line, for which there must be room.
    mutating func appendLine(_ name: sluice_bytes, _ value: sluice_bytes) {
        precondition(name.size &+ value.size &+ 4 <= space)
        var cursor = tail
        if let data = name.data { cursor.update(from: data, count: name.size) }
        cursor += name.size
        cursor[0] = UInt8(ascii: ":")
        cursor[1] = UInt8(ascii: " ")
        cursor += 2
        if let data = value.data { cursor.update(from: data, count: value.size) }
        cursor += value.size
        cursor[0] = 0x0D
        cursor[1] = 0x0A
        end &+= name.size &+ value.size &+ 4
    }
}
