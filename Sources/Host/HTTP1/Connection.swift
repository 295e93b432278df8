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

    /// What the Upgrade field says, where Connection nominates it (RFC 9110 §7.8).
    @inline(never)
    func upgrade(_ options: ConnectionOptions) -> Upgrade {
        guard let protocols = value(upgrade), options.contains(.upgrade) else { return .none }
        if protocols.hasMember("h2c") { return .h2c }
        guard protocols.equalsIgnoringCase("websocket") else { return .other }
        // Several fields make one list, of which this gateway would pass a part only.
        for index in Int(upgrade) + 1..<count where base[index].name.equalsIgnoringCase("upgrade") { return .other }
        return .websocket
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
