import HTTP1

extension ParseErrorKind {
    /// The kind that a fault is counted under.
    init(_ fault: ParseFault) {
        switch fault {
        case .badMethod, .methodTooLong, .badTarget, .targetTooLong, .badRequestLine, .asteriskNotOptions,
            .connectNotSupported, .tooManyEmptyLines, .badStatusLine, .badStatus:
            self = .startLine
        case .badVersion, .versionNotSupported: self = .version
        case .headTooLarge, .tooManyFields, .trailersTooLarge: self = .fieldTooLarge
        case .missingHost, .repeatedHost, .badHost, .hostMismatch: self = .host
        case .badContentLength, .contentLengthTooLarge, .repeatedContentLength, .lengthAndTransferEncoding,
            .badTransferEncoding, .repeatedTransferEncoding, .codingNotSupported, .transferEncodingInHTTP10:
            self = .framing
        case .badChunkSize, .chunkSizeTooLarge, .badChunkExtension, .chunkFramingTooLarge, .badChunkEnd:
            self = .chunk
        case .foldedField, .spaceBeforeColon, .emptyFieldName, .badFieldName, .missingColon, .badFieldValue,
            .bareLineFeed, .bareCarriageReturn, .forbiddenTrailer:
            self = .field
        default: self = .other
        }
    }
}
