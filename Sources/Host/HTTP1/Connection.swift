/// What the Connection fields of a message say (RFC 9110 §7.6.1).
struct ConnectionOptions: OptionSet {
    let rawValue: UInt8
    static let close = ConnectionOptions(rawValue: 1)
    static let keepAlive = ConnectionOptions(rawValue: 2)
    static let upgrade = ConnectionOptions(rawValue: 4)
}

extension FieldSection {
    /// Connection options in one message, at most. Each nominated name is looked for among all fields, so the bound
    /// keeps a 16 KiB list of one-letter names from costing a million comparisons; clients send one to three.
    private static let connectionOptions = 32

    /// Reads the Connection fields and marks what they nominate as hop-by-hop. Call it only if there is one.
    ///
    /// Nomination is obeyed even for fields that matter end to end, as the RFC demands of an intermediary; a client
    /// that nominates Authorization only locks itself out. Excepted are Host, whose loss would let a client choose
    /// the next hop's reading of the target, and the framing fields, which are written anew in any case.
    @inline(never)
    mutating func readConnection(_ options: inout ConnectionOptions) -> ParseFault? {
        var index = Int(connection)
        var seen = 0
        while index < count {
            defer { index += 1 }
            if index > Int(connection) {
                guard repeats.contains(.connection) else { break }
                guard base[index].name.equalsIgnoringCase("connection") else { continue }
            }
            var list = TokenList(base[index].value)
            while let option = list.next() {
                seen += 1
                guard seen <= Self.connectionOptions else { return .badConnection }
                if option.equalsIgnoringCase("keep-alive") {
                    options.insert(.keepAlive)
                } else if option.equalsIgnoringCase("close") {
                    options.insert(.close)
                } else {
                    if option.equalsIgnoringCase("upgrade") { options.insert(.upgrade) }
                    nominate(option)
                }
            }
            if list.malformed { return .badConnection }
        }
        return nil
    }

    private mutating func nominate(_ name: sluice_bytes) {
        if name.equalsIgnoringCase("host") { return }
        for index in 0..<count where base[index].name.equalsIgnoringCase(name) { hopByHop.insert(index) }
    }

    /// Whether the connection may be used again after this message (RFC 9112 §9.3).
    @inline(__always)
    func keepsAlive(_ options: ConnectionOptions, minorVersion: UInt8) -> Bool {
        if options.contains(.close) { return false }
        return minorVersion > 0 || options.contains(.keepAlive)
    }
}

extension HeadParser {
    /// What can be judged once all fields are known.
    @inline(__always)
    func finishRequest(_ head: inout RequestHead, _ section: inout FieldSection) -> ParseFault? {
        if let fault = finishHost(&head, section) { return fault }
        if let fault = section.framing(minorVersion: head.minorVersion, &head.body) { return fault }
        head.expectContinue = false
        head.acceptsTrailers = false
        head.upgrade = .none
        var options: ConnectionOptions = []
        if section.connection >= 0, let fault = section.readConnection(&options) { return fault }
        head.keepAlive = section.keepsAlive(options, minorVersion: head.minorVersion)
        // All three absent: each is -1.
        if section.expect & section.upgrade & section.te == -1 { return nil }
        return finishRareFields(&head, section, options)
    }

    /// One Host, well-formed, the same as that of an absolute form (RFC 9112 §3.2). That the two agree is more than
    /// the RFC asks: it lets the target win and the field be replaced, which hops do differently.
    @inline(__always)
    private func finishHost(_ head: inout RequestHead, _ section: FieldSection) -> ParseFault? {
        guard let host = section.value(section.host) else {
            return head.minorVersion == 0 ? nil : .missingHost
        }
        if section.repeats.contains(.host) { return .repeatedHost }
        guard isAuthority(host, classes) else { return .badHost }
        if head.authority.data != nil, !head.authority.equalsIgnoringCase(host) { return .hostMismatch }
        head.authority = host
        return nil
    }

    @inline(never)
    private func finishRareFields(
        _ head: inout RequestHead, _ section: FieldSection, _ options: ConnectionOptions
    ) -> ParseFault? {
        if section.expect >= 0 {
            for index in Int(section.expect)..<section.count
            where section[index].name.equalsIgnoringCase("expect") {
                guard section[index].value.equalsIgnoringCase("100-continue") else { return .expectationFailed }
            }
            // RFC 9110 §10.1.1: ignored in HTTP/1.0, and without content there is nothing to wait for.
            head.expectContinue = head.minorVersion > 0 && head.body != .none && head.body != .length(0)
        }
        if let codings = section.value(section.te) {
            head.acceptsTrailers = codings.hasMember("trailers")
        }
        if let protocols = section.value(section.upgrade), options.contains(.upgrade), head.minorVersion > 0 {
            head.upgrade =
                if protocols.hasMember("h2c") {
                    .h2c
                } else if protocols.equalsIgnoringCase("websocket") {
                    .websocket
                } else {
                    .other
                }
        }
        return nil
    }
}
