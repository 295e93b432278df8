extension HTTP2Rule {
    /// Header blocks, as RFC 7541 allows them and as it does not.
    static let compression: [HTTP2Rule] = [
        HTTP2Rule("RFC 7541 §6 an indexed field", of: "generic/5/1", .answered(1, 200), headers(1, smallest + [0xBA])),
        HTTP2Rule(
            "RFC 7541 §6 incremental, an indexed name", of: "generic/5/2", .answered(1, 200),
            headers(1, smallest + [0x7A, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §6 incremental, an indexed name, Huffman", of: "generic/5/3", .answered(1, 200),
            headers(1, smallest + [0x7A, 0x81, 0x1F])),
        HTTP2Rule(
            "RFC 7541 §6 incremental, a new name", of: "generic/5/4", .answered(1, 200),
            headers(1, smallest + [0x40, 1, 0x78, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §6 incremental, a new name, Huffman", of: "generic/5/5", .answered(1, 200),
            headers(1, smallest + [0x40, 0x81, 0xF3, 0x81, 0x1F])),
        HTTP2Rule(
            "RFC 7541 §6 without indexing, an indexed name", of: "generic/5/6", .answered(1, 200),
            headers(1, smallest + [0x0F, 0x2B, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §6 without indexing, an indexed name, Huffman", of: "generic/5/7", .answered(1, 200),
            headers(1, smallest + [0x0F, 0x2B, 0x81, 0x1F])),
        HTTP2Rule(
            "RFC 7541 §6 without indexing, a new name", of: "generic/5/8", .answered(1, 200),
            headers(1, smallest + [0x00, 1, 0x78, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §6 without indexing, a new name, Huffman", of: "generic/5/9", .answered(1, 200),
            headers(1, smallest + [0x00, 0x81, 0xF3, 0x81, 0x1F])),
        HTTP2Rule(
            "RFC 7541 §6 never indexed, an indexed name", of: "generic/5/10", .answered(1, 200),
            headers(1, smallest + [0x1F, 0x2B, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §6 never indexed, an indexed name, Huffman", of: "generic/5/11", .answered(1, 200),
            headers(1, smallest + [0x1F, 0x2B, 0x81, 0x1F])),
        HTTP2Rule(
            "RFC 7541 §6 never indexed, a new name", of: "generic/5/12", .answered(1, 200),
            headers(1, smallest + [0x10, 1, 0x78, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §6 never indexed, a new name, Huffman", of: "generic/5/13", .answered(1, 200),
            headers(1, smallest + [0x10, 0x81, 0xF3, 0x81, 0x1F])),
        HTTP2Rule(
            "RFC 7541 §6.3 a table of 128 bytes", of: "generic/5/14", .answered(1, 200),
            headers(1, [0x3F, 0x61] + smallest)),
        HTTP2Rule(
            "RFC 7541 §6.3 two sizes of the table", of: "generic/5/15", .answered(1, 200),
            headers(1, [0x3F, 0x61, 0x3F, 0xE1, 0x1F] + smallest)),
        HTTP2Rule("RFC 7541 §6.1 indexed fields", .answered(1, 200), headers(1, [0x82, 0x86, 0x84, 0x41, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §6.2.1 a field of the dynamic table", .answered(3, 200),
            headers(1, [0x82, 0x86, 0x84, 0x41, 1, 0x61]), headers(3, [0x82, 0x86, 0x84, 0xBE])),
        HTTP2Rule("RFC 7541 §5.2 Huffman code", .answered(1, 200), headers(1, [0x82, 0x86, 0x84, 0x41, 0x81, 0x1F])),
        HTTP2Rule(
            "RFC 7541 §6.3 a smaller table", .answered(1, 200), headers(1, [0x20, 0x82, 0x86, 0x84, 0x41, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §2.3.3 an index beyond the tables", of: "hpack/2.3.3/1", .connectionError([E.compression]),
            headers(1, [0x82, 0x86, 0x84, 0xFF, 0])),
        HTTP2Rule(
            "RFC 7541 §4.2 a table size at the end of a block", of: "hpack/4.2/1", .connectionError([E.compression]),
            headers(1, [0x82, 0x86, 0x84, 0x41, 1, 0x61, 0x20])),
        HTTP2Rule(
            "RFC 7541 §5.2 Huffman padding of more than 7 bits", of: "hpack/5.2/1", .connectionError([E.compression]),
            headers(1, [0x82, 0x86, 0x84, 0x41, 0x82, 0x1F, 0xFF])),
        HTTP2Rule(
            "RFC 7541 §5.2 Huffman padding of zeroes", of: "hpack/5.2/2", .connectionError([E.compression]),
            headers(1, [0x82, 0x86, 0x84, 0x41, 0x81, 0x18])),
        HTTP2Rule(
            "RFC 7541 §5.2 Huffman with EOS", of: "hpack/5.2/3", .connectionError([E.compression]),
            headers(1, [0x82, 0x86, 0x84, 0x41, 0x84, 0xFF, 0xFF, 0xFF, 0xFF])),
        HTTP2Rule(
            "RFC 7541 §6.1 index 0", of: "hpack/6.1/1", .connectionError([E.compression]),
            headers(1, [0x82, 0x86, 0x84, 0x80])),
        HTTP2Rule(
            "RFC 7541 §6.3 a table larger than allowed", of: "hpack/6.3/1", .connectionError([E.compression]),
            headers(1, [0x3F, 0xE2, 0x1F, 0x82, 0x86, 0x84, 0x41, 1, 0x61])),
        HTTP2Rule(
            "RFC 7541 §2.3.3 a name's index beyond the tables", of: "hpack/2.3.3/2", .connectionError([E.compression]),
            headers(1, [0x82, 0x86, 0x84, 0x7F, 7, 0])),
    ]
}
