/// Why a message was refused. Each has one message for people and, for a request, one status for the client; a
/// response with a fault is a 502 of the gateway, whatever the fault.
public enum ParseFault: UInt8, Sendable, CaseIterable {
    // Lines.
    case bareLineFeed, bareCarriageReturn, tooManyEmptyLines, headTooLarge
    // Request line.
    case badMethod, methodTooLong, badTarget, targetTooLong, badRequestLine, badVersion, versionNotSupported
    case asteriskNotOptions, connectNotSupported
    // Fields.
    case tooManyFields, foldedField, spaceBeforeColon, emptyFieldName, badFieldName, missingColon, badFieldValue
    // Host.
    case missingHost, repeatedHost, badHost, hostMismatch
    // Framing.
    case badContentLength, contentLengthTooLarge, repeatedContentLength, lengthAndTransferEncoding
    case badTransferEncoding, repeatedTransferEncoding, codingNotSupported, transferEncodingInHTTP10
    case badConnection, expectationFailed
    // Responses.
    case badStatusLine, badStatus, unexpectedUpgrade
    // Chunked bodies.
    case badChunkSize, chunkSizeTooLarge, badChunkExtension, chunkFramingTooLarge, badChunkEnd
    case trailersTooLarge, forbiddenTrailer

    /// The status that answers a request with this fault. The connection closes after it, since where the next request
    /// would begin is not known.
    public var status: UInt16 {
        switch self {
        case .targetTooLong: 414
        case .headTooLarge, .tooManyFields, .trailersTooLarge: 431
        case .methodTooLong, .connectNotSupported, .codingNotSupported: 501
        case .versionNotSupported: 505
        case .contentLengthTooLarge, .chunkSizeTooLarge: 413
        case .expectationFailed: 417
        default: 400
        }
    }

    /// What was wrong, for a log or an error body: a sentence without its full stop.
    public var message: StaticString {
        switch self {
        case .bareLineFeed: "a line ends in LF without CR"
        case .bareCarriageReturn: "a CR is not followed by LF"
        case .tooManyEmptyLines: "too many empty lines before the message"
        case .headTooLarge: "the message head is too large"
        case .badMethod: "the method is not a token"
        case .methodTooLong: "the method is longer than any known one"
        case .badTarget: "the request target has a byte or form that is not allowed"
        case .targetTooLong: "the request target is too long"
        case .badRequestLine: "the request line is not 'method target HTTP/1.1'"
        case .badVersion: "the HTTP version is malformed"
        case .versionNotSupported: "the HTTP version is not supported; use HTTP/1.1"
        case .asteriskNotOptions: "the target '*' goes with OPTIONS only"
        case .connectNotSupported: "CONNECT is not supported: tunnels are opened by 'Upgrade: websocket' alone"
        case .tooManyFields: "too many header fields"
        case .foldedField: "a header field is folded over several lines"
        case .spaceBeforeColon: "a header field has a space before its colon"
        case .emptyFieldName: "a header field has no name"
        case .badFieldName: "a header field name has a byte that is not allowed"
        case .missingColon: "a header line has no colon"
        case .badFieldValue: "a header field value has a control byte"
        case .missingHost: "the Host field is missing"
        case .repeatedHost: "the Host field is there more than once"
        case .badHost: "the host is malformed"
        case .hostMismatch: "the Host field and the target's authority differ"
        case .badContentLength: "the Content-Length is not a number"
        case .contentLengthTooLarge: "the Content-Length is too large"
        case .repeatedContentLength: "the Content-Length is there more than once"
        case .lengthAndTransferEncoding: "Content-Length and Transfer-Encoding are both there"
        case .badTransferEncoding: "the Transfer-Encoding does not end in one 'chunked'"
        case .repeatedTransferEncoding: "the Transfer-Encoding is there more than once"
        case .codingNotSupported: "the transfer coding is not supported; use chunked"
        case .transferEncodingInHTTP10: "HTTP/1.0 has no Transfer-Encoding"
        case .badConnection: "the Connection field is not a list of tokens"
        case .expectationFailed: "the expectation is not 100-continue"
        case .badStatusLine: "the status line is malformed"
        case .badStatus: "the status is not between 100 and 599"
        case .unexpectedUpgrade: "101 Switching Protocols without a request to switch"
        case .badChunkSize: "a chunk size is not a hexadecimal number"
        case .chunkSizeTooLarge: "a chunk size is too large"
        case .badChunkExtension: "a chunk extension has a control byte"
        case .chunkFramingTooLarge: "chunk sizes and extensions outweigh the data"
        case .badChunkEnd: "a chunk is not followed by CRLF"
        case .trailersTooLarge: "the trailer section is too large"
        case .forbiddenTrailer: "a trailer field that frames or routes the message"
        }
    }
}

/// What became of one call of a head parser.
public enum ParseOutcome: Equatable, Sendable {
    /// The head is not whole yet: call again with the same bytes and more behind them.
    case needMore
    /// The head is whole and good.
    case complete
    /// The message is refused; the connection can't be used any further.
    case failed(ParseFault)
}
