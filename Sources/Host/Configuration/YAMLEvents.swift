import CYAML

/// A refusal that ends the reading of a file: what follows cannot be trusted to mean what its author meant.
struct Refusal: Error {
    let diagnostic: Diagnostic
}

/// One event of a YAML document, with its place.
struct YAMLEvent {
    enum Kind {
        case documentStart, documentEnd, streamStart, streamEnd, sequenceEnd, mappingEnd
        case alias(String)
        /// `plain` is a scalar without quotes and not a block scalar.
        case scalar(String, plain: Bool)
        case sequenceStart, mappingStart
    }
    var kind: Kind
    var anchor: String?
    var tag: String?
    var position: Position
}

/// libyaml's event parser over a text that is known to be UTF-8 (libyaml 0.2.5, `yaml.h`). The text must outlive it.
struct YAMLEvents: ~Copyable {
    private let parser: UnsafeMutablePointer<yaml_parser_t>
    private let text: UnsafeBufferPointer<UInt8>
    private let file: String

    /// Nil when memory is short.
    init?(text: UnsafeBufferPointer<UInt8>, file: String) {
        parser = .allocate(capacity: 1)
        guard yaml_parser_initialize(parser) == 1 else {
            parser.deallocate()
            return nil
        }
        self.text = text
        self.file = file
        yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING)
        yaml_parser_set_input_string(parser, text.baseAddress, text.count)
    }

    deinit {
        yaml_parser_delete(parser)
        parser.deallocate()
    }

    mutating func next() throws(Refusal) -> YAMLEvent {
        var event = yaml_event_t()
        guard yaml_parser_parse(parser, &event) == 1 else { throw refusal() }
        defer { yaml_event_delete(&event) }
        let position = position(event.start_mark)
        switch event.type {
        case YAML_STREAM_START_EVENT: return YAMLEvent(kind: .streamStart, position: position)
        case YAML_DOCUMENT_START_EVENT: return YAMLEvent(kind: .documentStart, position: position)
        case YAML_DOCUMENT_END_EVENT: return YAMLEvent(kind: .documentEnd, position: position)
        case YAML_SEQUENCE_END_EVENT: return YAMLEvent(kind: .sequenceEnd, position: position)
        case YAML_MAPPING_END_EVENT: return YAMLEvent(kind: .mappingEnd, position: position)
        case YAML_ALIAS_EVENT:
            return YAMLEvent(kind: .alias(string(event.data.alias.anchor) ?? ""), position: position)
        case YAML_SCALAR_EVENT:
            let scalar = event.data.scalar
            let value = String(
                decoding: UnsafeBufferPointer(start: scalar.value, count: scalar.value == nil ? 0 : scalar.length),
                as: UTF8.self)
            return YAMLEvent(
                kind: .scalar(value, plain: scalar.style == YAML_PLAIN_SCALAR_STYLE),
                anchor: string(scalar.anchor), tag: string(scalar.tag), position: position)
        case YAML_SEQUENCE_START_EVENT:
            let start = event.data.sequence_start
            return YAMLEvent(
                kind: .sequenceStart, anchor: string(start.anchor), tag: string(start.tag), position: position)
        case YAML_MAPPING_START_EVENT:
            let start = event.data.mapping_start
            return YAMLEvent(
                kind: .mappingStart, anchor: string(start.anchor), tag: string(start.tag), position: position)
        default:
            // YAML_NO_EVENT: libyaml gives it after the end of the stream.
            return YAMLEvent(kind: .streamEnd, position: position)
        }
    }

    private func string(_ pointer: UnsafeMutablePointer<yaml_char_t>?) -> String? {
        pointer.map { String(cString: $0) }
    }

    /// libyaml counts lines and columns from 0, columns in characters.
    private func position(_ mark: yaml_mark_t) -> Position {
        Position(file: file, line: mark.line + 1, column: mark.column + 1)
    }

    private func refusal() -> Refusal {
        let problem = parser.pointee.problem.map { String(cString: $0) } ?? "memory is short"
        guard parser.pointee.error != YAML_READER_ERROR else {
            let place = TextPlace(in: text, offset: Int(clamping: parser.pointee.problem_offset))
            return Refusal(
                diagnostic: Diagnostic(
                    .error, Position(file: file, line: place.line, column: place.column),
                    "not YAML: \(problem); save the file as plain UTF-8 text"))
        }
        let mark = parser.pointee.problem_mark
        var message = "not YAML: \(problem)"
        if let context = parser.pointee.context.map({ String(cString: $0) }) {
            let start = parser.pointee.context_mark
            message += " \(context)"
            if start.line != mark.line || start.column != mark.column {
                message += " that begins at line \(start.line + 1), column \(start.column + 1)"
            }
        }
        return Refusal(diagnostic: Diagnostic(.error, position(mark), message + "; " + remedy(at: mark)))
    }

    /// The two mistakes that libyaml's words explain badly, and a general advice for the others.
    private func remedy(at mark: yaml_mark_t) -> String {
        let offset = TextPlace.offset(in: text, line: mark.line + 1, column: mark.column + 1)
        if offset < text.count, text[offset] == UInt8(ascii: "\t") { return "indent with spaces, not tabs" }
        // Inside `{ }` and `[ ]` a plain scalar ends at a brace, so `${` splits there.
        if offset < text.count, text[offset] == UInt8(ascii: "{"), offset > 0, text[offset - 1] == UInt8(ascii: "$") {
            return "inside `{ }` or `[ ]` put an environment reference in quotes, and where a number is expected write "
                + "the mapping on lines of its own"
        }
        return "check the indentation and the punctuation just before this place"
    }
}

/// Lines and columns of a text, both from 1, the column in characters.
struct TextPlace: Equatable {
    var line = 1
    var column = 1

    init(in text: UnsafeBufferPointer<UInt8>, offset: Int) {
        for byte in text.prefix(max(0, offset)) {
            if byte == UInt8(ascii: "\n") {
                line += 1
                column = 1
            } else if byte & 0xC0 != 0x80 {
                column += 1
            }
        }
    }

    /// The byte at a place, or the length of the text when it lies beyond.
    static func offset(in text: UnsafeBufferPointer<UInt8>, line: Int, column: Int) -> Int {
        var place = TextPlace(in: text, offset: 0)
        for (offset, byte) in text.enumerated() {
            if place.line == line && place.column == column && byte & 0xC0 != 0x80 { return offset }
            if byte == UInt8(ascii: "\n") {
                place.line += 1
                place.column = 1
            } else if byte & 0xC0 != 0x80 {
                place.column += 1
            }
        }
        return text.count
    }

    /// The first byte that is not UTF-8, or nil.
    static func firstInvalidByte(in text: UnsafeBufferPointer<UInt8>) -> Int? {
        guard String(validating: text, as: UTF8.self) == nil else { return nil }
        var parser = Unicode.UTF8.ForwardParser()
        var bytes = text.makeIterator()
        var offset = 0
        while true {
            switch parser.parseScalar(from: &bytes) {
            case .valid(let scalar): offset += scalar.count
            case .error: return offset
            case .emptyInput: return nil
            }
        }
    }
}
