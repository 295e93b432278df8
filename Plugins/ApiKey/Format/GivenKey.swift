import SluiceHashing

/// A key as an operator writes it, and what is wrong said without it.
public enum GivenKey: Equatable, Sendable {
    /// As clients show it. Not to be kept.
    case plain([UInt8])
    /// `sha256:`, in whatever case, and 64 hexadecimal digits.
    case digest(Digest256)

    /// Bytes of a key at most: what is longer is no key, and would only be hashed for nothing. Fields of a head have
    /// some 64 KB at most.
    public static let bytesAtMost = 4_096

    public enum Problem: Error, Equatable, Sendable {
        case empty, tooLong
        /// 64 digits are expected behind `sha256:`.
        case noDigest

        public var text: String {
            switch self {
            case .empty: "a key is not empty; is its environment variable set?"
            case .tooLong: "a key has at most \(GivenKey.bytesAtMost) bytes"
            case .noDigest: "behind 'sha256:' come the 64 hexadecimal digits of the key's SHA-256"
            }
        }
    }

    public init(_ text: some Collection<UInt8>) throws(Problem) {
        if text.isEmpty { throw .empty }
        if text.count > Self.bytesAtMost { throw .tooLong }
        let mark = Array("sha256:".utf8)
        // In any case, as the digits: taken for a plain key, what everybody may read would let in.
        let begin = text.prefix(mark.count).map { (0x41...0x5A).contains($0) ? $0 | 0x20 : $0 }
        if begin == mark {
            guard let digest = Digest256(hexadecimal: text.dropFirst(mark.count)) else { throw .noDigest }
            self = .digest(digest)
        } else {
            self = .plain(Array(text))
        }
    }
}
