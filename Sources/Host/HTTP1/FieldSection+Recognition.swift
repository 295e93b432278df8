/// Eight ASCII bytes of a name in one word, as a little-endian load sees them.
@inline(__always)
private func word(_ text: StaticString) -> UInt64 {
    load64(text.utf8Start)
}

@inline(__always)
private func half(_ text: StaticString) -> UInt32 {
    load32(text.utf8Start)
}

/// Folds eight bytes to lower case. It also turns some bytes that are not letters into others, yet none of those is
/// allowed in a token, so a name that compares equal after folding is the name.
@inline(__always)
private func folded64(_ pointer: UnsafePointer<UInt8>) -> UInt64 {
    load64(pointer) | 0x2020_2020_2020_2020
}

@inline(__always)
private func folded32(_ pointer: UnsafePointer<UInt8>) -> UInt32 {
    load32(pointer) | 0x2020_2020
}

extension FieldSection {
    /// Notes the field that stands at `count` if it is one that the gateway knows. `name` must be a token.
    ///
    /// By length first, then one or two words compared: most fields leave after one comparison. The loads overlap
    /// where a length is no multiple of the word, and none reaches outside the name.
    @inline(__always)
    mutating func recognise(_ name: UnsafePointer<UInt8>, _ size: Int) {
        switch size {
        case 2:
            if load16(name) | 0x2020 == 0x6574 {  // te
                hopByHop.insert(count)
                te = Int16(truncatingIfNeeded: count)
            }
        case 4:
            let name = folded32(name)
            if name == half("host") {
                Self.note(&host, count, &repeats, .host)
            } else if name == half("date") {
                Self.note(&date, count)
            }
        case 6:
            let head = folded32(name)
            if head == half("acce") {
                if folded32(name + 2) == half("cept") { Self.note(&accept, count) }
            } else if head == half("expe") {
                if folded32(name + 2) == half("pect") { Self.note(&expect, count, &repeats, .expect) }
            }
        case 7:
            let head = folded32(name)
            if head == half("upgr") {
                if folded32(name + 3) == half("rade") {
                    hopByHop.insert(count)
                    Self.note(&upgrade, count)
                }
            } else if head == half("trai") {
                if folded32(name + 3) == half("iler") { Self.note(&trailer, count) }
            }
        case 10:
            let head = folded64(name)
            if head == word("connecti") {
                if folded64(name + 2) == word("nnection") {
                    hopByHop.insert(count)
                    Self.note(&connection, count, &repeats, .connection)
                }
            } else if head == word("keep-ali") {
                if folded64(name + 2) == word("ep-alive") { hopByHop.insert(count) }
            }
        case 11:
            if folded64(name) == word("tracepar"), folded64(name + 3) == word("ceparent") {
                Self.note(&traceparent, count)
            }
        case 12:
            if folded64(name) == word("content-"), folded32(name + 8) == half("type") { Self.note(&contentType, count) }
        case 13:
            if folded64(name) == word("authoriz"), folded64(name + 5) == word("rization") {
                Self.note(&authorization, count)
            }
        case 14:
            let head = folded64(name)
            if head == word("content-") {
                if folded64(name + 6) == word("t-length") {
                    hopByHop.insert(count)
                    Self.note(&contentLength, count, &repeats, .contentLength)
                }
            } else if head == word("http2-se") {
                if folded64(name + 6) == word("settings") { hopByHop.insert(count) }
            }
        case 16:
            let head = folded64(name)
            if head == word("content-") {
                if folded64(name + 8) == word("encoding") { Self.note(&contentEncoding, count) }
            } else if head == word("proxy-co") {
                if folded64(name + 8) == word("nnection") { hopByHop.insert(count) }
            }
        case 17:
            if folded64(name) == word("transfer"), folded64(name + 8) == word("-encodin"), name[16] | 0x20 == 0x67 {
                hopByHop.insert(count)
                Self.note(&transferEncoding, count, &repeats, .transferEncoding)
            }
        default:
            break
        }
    }

    @inline(__always)
    private static func note(_ slot: inout Int16, _ index: Int) {
        if slot < 0 { slot = Int16(truncatingIfNeeded: index) }
    }

    @inline(__always)
    private static func note(_ slot: inout Int16, _ index: Int, _ repeats: inout Repeats, _ repeated: Repeats) {
        if slot < 0 {
            slot = Int16(truncatingIfNeeded: index)
        } else {
            repeats.insert(repeated)
        }
    }
}
