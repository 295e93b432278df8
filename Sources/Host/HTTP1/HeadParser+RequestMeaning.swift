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
        if head.minorVersion > 0 { head.upgrade = section.upgrade(options) }
        return nil
    }
}
