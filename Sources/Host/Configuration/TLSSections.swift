/// What the file says of TLS, for listeners and for endpoints.
extension Settings {
    /// A file that is read when a generation is made, with where the configuration names it.
    public struct NamedFile: Sendable, Hashable {
        /// Absolute.
        public var path: String
        public var position: Position
        public init(path: String, position: Position) {
            self.path = path
            self.position = position
        }
    }

    /// A certificate with those that lead from it to an authority, and its key.
    public struct CertificateSettings: Sendable, Hashable {
        public var certificate: NamedFile
        public var key: NamedFile
        public init(certificate: NamedFile, key: NamedFile) {
            self.certificate = certificate
            self.key = key
        }
    }

    public enum TLSVersion: String, Sendable, CaseIterable {
        case v12 = "TLSv1.2"
        case v13 = "TLSv1.3"
    }

    public struct ListenerTLS: Sendable, Hashable {
        public enum ClientCertificate: String, Sendable, CaseIterable { case required, optional }

        /// The first one is shown to clients that ask for no name, or for one that none of them has.
        public var certificates: [CertificateSettings] = []
        /// Authorities of clients' certificates; nil: none is asked for.
        public var clientCA: NamedFile?
        public var clientCertificate = ClientCertificate.required
        /// The field that tells the verified subject.
        public var subjectField = "x-client-subject"
        public var minVersion = TLSVersion.v12
        public var position: Position
        public init(position: Position) { self.position = position }
    }

    public struct EndpointTLS: Sendable, Hashable {
        /// Authorities of the endpoints' certificates; nil: those of the system.
        public var ca: NamedFile?
        /// Shown to endpoints that ask for it.
        public var certificate: CertificateSettings?
        /// In place of the endpoint's host, for SNI and for the check of its certificate.
        public var serverName: String?
        public var verifies = true
        public var minVersion = TLSVersion.v12
        public var position: Position
        public init(position: Position) { self.position = position }
    }
}

extension Settings.ListenerTLS {
    /// Each handshake that names a server goes through all of them.
    static let certificatesAtMost = 256

    init(_ section: Section) {
        self.init(position: section.position)
        if let own = section.certificate(required: true) { certificates.append(own) }
        section.sections(
            "certificates", initially: "none",
            "More certificates: a client that asks for a name (SNI) is shown the first one that is valid for it; of "
                + "those for the same names and with different kinds of keys the one that it can verify; at most "
                + "\(Self.certificatesAtMost)."
        ) { inner in
            if let more = inner.certificate(required: true) { certificates.append(more) }
        }
        if certificates.count > Self.certificatesAtMost, let position = section.keyPosition("certificates") {
            section.reading.error(
                position, "a listener has at most \(Self.certificatesAtMost) certificates; make a second listener")
        }
        clientCA = section.file(
            "client_ca", initially: "clients show no certificate",
            "Authorities (PEM) whose clients' certificates are accepted.")
        section.choice(
            "client_certificate", into: &clientCertificate,
            "With `client_ca`: `required`, or `optional`, where a client may show none.")
        let field = section.take(
            "subject_field", .text(.fieldName), initially: subjectField,
            "With `client_ca`: the field of a request that tells plugins and endpoints the verified subject (RFC "
                + "2253). A client that sends a field of that name itself, to any listener, gets 400.")
        if let name = field?.text { subjectField = name.lowercased() }
        section.choice("min_version", into: &minVersion, "The least version of TLS.")
    }
}

extension Settings.EndpointTLS {
    init(_ section: Section) {
        self.init(position: section.position)
        ca = section.file(
            "ca", initially: "the system's authorities",
            "Authorities (PEM) whose certificates of endpoints are accepted.")
        certificate = section.certificate(required: false)
        serverName = section.text(
            "server_name", .hostName, initially: "the endpoint's host",
            "The name that is asked for (SNI) and that the endpoint's certificate must have.")
        section.boolean(
            "verify", into: &verifies,
            "`false` accepts any certificate: traffic can then be read and changed on its way.")
        if !verifies, let position = section.keyPosition("verify") {
            section.reading.warning(
                position, "endpoints are not verified: whoever is on the way can read and change what is sent")
        }
        section.choice("min_version", into: &minVersion, "The least version of TLS.")
    }
}

extension Section {
    fileprivate func file(_ key: String, required: Bool = false, initially: String? = nil, _ meaning: String)
        -> Settings.NamedFile?
    {
        let node = take(key, .text(.path), required: required, initially: initially, meaning)
        guard let node, let path = node.text else { return nil }
        return Settings.NamedFile(path: reading.absolute(path), position: node.position)
    }

    /// `certificate` and `key`, which go together.
    fileprivate func certificate(required: Bool) -> Settings.CertificateSettings? {
        let initially: String? = required ? nil : "none"
        let certificate = file(
            "certificate", required: required, initially: initially,
            "A certificate (PEM), followed by those that lead to its authority.")
        let key = file("key", required: required, initially: initially, "Its private key (PEM), not encrypted.")
        if !required, !isDescribing, has("certificate") != has("key") {
            let (there, missing) = has("key") ? ("key", "certificate") : ("certificate", "key")
            reading.error(keyPosition(there) ?? position, "`\(there)` needs `\(missing)` beside it; add it")
        }
        guard let certificate, let key else { return nil }
        return Settings.CertificateSettings(certificate: certificate, key: key)
    }
}

extension TextForm {
    /// RFC 9110 §5.1.
    static let fieldName = TextForm(
        expectation: "the name of a field, such as `x-client-subject`", pattern: "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}$"
    ) { text in
        let isToken = text.utf8.allSatisfy { isAlphanumeric($0) || "!#$%&'*+.^_`|~-".utf8.contains($0) }
        guard (1...64).contains(text.utf8.count), isToken else { return .misfits }
        let taken = [
            "host", "connection", "content-length", "transfer-encoding", "te", "upgrade", "keep-alive", "trailer",
        ]
        return taken.contains(text.lowercased()) ? .because("takes no field that HTTP itself reads") : .fits
    }

    static let hostName = TextForm(
        expectation: "a host name or a numeric address", pattern: "^[A-Za-z0-9._:-]{1,253}$"
    ) { isHost($0) ? .fits : .misfits }
}
