import COpenSSL
import Configuration
import Glibc

/// The contexts in use, by what they are made of: a reload that changes neither settings nor files changes no context,
/// and connections to endpoints go on. [main]
final class TLSContexts {
    private final class Entry {
        weak var context: TLSContext?
        init(_ context: TLSContext) { self.context = context }
    }

    private var known: [[UInt8]: Entry] = [:]
    /// Name, AES and HMAC key of session tickets (RFC 5077 §4), as long as the process lives. TLS 1.3 makes new keys at
    /// each resumption all the same (RFC 8446 §2.2).
    private let ticketKeys: [UInt8]

    init() {
        var keys = [UInt8](repeating: 0, count: 80)
        // Keys that can be guessed would let anybody forge a session.
        precondition(RAND_bytes(&keys, Int32(keys.count)) == 1, "OpenSSL has no random numbers")
        ticketKeys = keys
    }

    /// - Parameter speaksHTTP: false where an adapter frames what comes over raw TCP.
    func listener(_ settings: Settings.ListenerTLS, speaksHTTP: Bool) throws(TLSContext.Failure) -> TLSContext {
        let files = try read(settings.certificates.flatMap { [$0.certificate, $0.key] } + [settings.clientCA])
        let key =
            [0]
            + digest(
                [settings.minVersion.rawValue, settings.clientCertificate.rawValue, "\(speaksHTTP)"],
                settings.certificates.flatMap { [$0.certificate, $0.key] } + [settings.clientCA], files)
        return try find(key) { () throws(TLSContext.Failure) in
            try .listener(settings, speaksHTTP: speaksHTTP, files: files, ticketKeys: ticketKeys)
        }
    }

    func endpoint(
        _ settings: Settings.EndpointTLS, speaksHTTP2: Bool
    ) throws(TLSContext.Failure) -> TLSContext {
        let named = [settings.ca, settings.certificate?.certificate, settings.certificate?.key]
        let files = try read(named)
        let key =
            [1]
            + digest(
                [settings.minVersion.rawValue, "\(settings.verifies) \(speaksHTTP2)", settings.serverName ?? ""], named,
                files)
        return try find(key) { () throws(TLSContext.Failure) in
            try .endpoint(settings, speaksHTTP2: speaksHTTP2, files: files)
        }
    }

    private func find(
        _ key: [UInt8], _ make: () throws(TLSContext.Failure) -> TLSContext
    ) throws(TLSContext.Failure) -> TLSContext {
        known = known.filter { $0.value.context != nil }
        if let context = known[key]?.context { return context }
        let context = try make()
        known[key] = Entry(context)
        return context
    }

    private func read(
        _ named: [Settings.NamedFile?]
    ) throws(TLSContext.Failure) -> [Settings.NamedFile: TLSFile] {
        var files: [Settings.NamedFile: TLSFile] = [:]
        for case let file? in named where files[file] == nil { files[file] = try TLSFile(file) }
        return files
    }

    private func digest(
        _ words: [String], _ named: [Settings.NamedFile?], _ files: [Settings.NamedFile: TLSFile]
    ) -> [UInt8] {
        var content: [UInt8] = []
        func add(_ bytes: [UInt8]) {
            withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { content += Array($0) }
            content += bytes
        }
        for word in words { add(Array(word.utf8)) }
        for file in named { add(file.flatMap { files[$0]?.bytes } ?? []) }
        return content.withUnsafeBytes { sha256($0) } ?? content
    }
}
