/// What may stand in a field of a message: RFC 9110 sections 5.1, 5.5 and 5.6.2.
extension Bytes {
    /// Whether these bytes are a token: a field's name, a cookie's, a method.
    public var isToken: Bool {
        for byte in self {
            switch byte {
            case 0x30...0x39, 0x41...0x5A, 0x61...0x7A: continue
            // ! # $ % & ' * + - . ^ _ ` | ~
            case 0x21, 0x23...0x27, 0x2A, 0x2B, 0x2D, 0x2E, 0x5E...0x60, 0x7C, 0x7E: continue
            default: return false
            }
        }
        return !isEmpty
    }

    /// Whether these bytes may be a field's value: no control but the tab, no white space at either end. Bytes beyond
    /// ASCII are allowed, as obs-text is.
    public var isFieldValue: Bool {
        for byte in self where byte < 0x20 && byte != 0x09 || byte == 0x7F { return false }
        return trimmed.count == count
    }

    /// Whether a field of this name belongs to one connection, or frames the message on it: only the gateway writes it
    /// (RFC 9110 section 7.6.1, RFC 9112 section 6).
    public var isFieldOfConnection: Bool {
        switch count {
        case 2: equalsIgnoringCase("te")
        case 7: equalsIgnoringCase("upgrade")
        case 10: equalsIgnoringCase("connection") || equalsIgnoringCase("keep-alive")
        case 14: equalsIgnoringCase("content-length") || equalsIgnoringCase("http2-settings")
        case 16: equalsIgnoringCase("proxy-connection")
        case 17: equalsIgnoringCase("transfer-encoding")
        default: false
        }
    }
}
