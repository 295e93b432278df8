/// What the probe's child found, and how it says it: lines of text in a fixed order, closed by one that says so.
///
///     <token>
///     accepted                      refused
///     name <text>                   reason <ImageRefusal.Reason>
///     version <text>                detail <text>
///     vendor <text>                 end
///     licence <text>
///     build-id <text>
///     extension <instancing> <id>   (1 to 16 times; instancing `-` when the id is unknown)
///     end
///
/// For a library, which has nothing to describe, `loaded` and `end`.
enum ProbeAnswer: Equatable {
    case accepted(ImageDescription)
    case loaded
    case refused(ImageFault)

    func encoded(token: String) -> String {
        var lines = [token]
        switch self {
        case .accepted(let description):
            lines.append("accepted")
            lines.append("name \(description.name)")
            lines.append("version \(description.version)")
            lines.append("vendor \(description.vendor)")
            lines.append("licence \(description.licence)")
            lines.append("build-id \(description.buildID)")
            for offer in description.extensions {
                lines.append("extension \(offer.instancing.map { String($0) } ?? "-") \(offer.id)")
            }
        case .loaded: lines.append("loaded")
        case .refused(let fault):
            lines.append("refused")
            lines.append("reason \(fault.reason.rawValue)")
            lines.append("detail \(oneLine(fault.detail))")
        }
        lines.append("end")
        return lines.joined(separator: "\n") + "\n"
    }

    /// Reasons that a child may give; the others are for the parent to find.
    private static let childsReasons: Set<ImageRefusal.Reason> = [
        .undefinedSymbol, .missingLibrary, .loadFailed, .entryMissing, .entryRefused, .abiMismatch,
        .descriptionInvalid, .extensionInvalid, .noKnownExtension, .system,
    ]

    /// Nil for anything that `encoded` does not produce with this token.
    init?(_ bytes: [UInt8], token: String) {
        guard bytes.count <= ProbeChannel.maximumAnswer, let text = String(validating: bytes, as: UTF8.self) else {
            return nil
        }
        var lines = text.split(separator: "\n", omittingEmptySubsequences: false)[...]
        guard lines.popLast() == "", lines.popLast() == "end", lines.popFirst() == token[...] else { return nil }
        func value(_ key: String) -> String? {
            guard let line = lines.first, line.hasPrefix(key + " ") else { return nil }
            lines.removeFirst()
            return String(line.dropFirst(key.count + 1))
        }
        switch lines.popFirst() {
        case "accepted":
            guard let name = value("name"), let version = value("version"), let vendor = value("vendor"),
                let licence = value("licence"), let buildID = value("build-id"),
                lines.count <= ImageDescription.maximumExtensions
            else { return nil }
            var extensions: [ImageDescription.Extension] = []
            while let offer = value("extension") {
                let parts = offer.split(separator: " ", omittingEmptySubsequences: false)
                guard parts.count == 2, parts[0] == "-" || parts[0] == "0" || parts[0] == "1" else { return nil }
                extensions.append(.init(id: String(parts[1]), instancing: UInt32(parts[0])))
            }
            guard lines.isEmpty,
                let description = try? ImageDescription(
                    name: name, version: version, vendor: vendor, licence: licence, buildID: buildID,
                    extensions: extensions)
            else { return nil }
            self = .accepted(description)
        case "loaded":
            guard lines.isEmpty else { return nil }
            self = .loaded
        case "refused":
            guard let reason = value("reason").flatMap(ImageRefusal.Reason.init(rawValue:)),
                Self.childsReasons.contains(reason), let detail = value("detail"), lines.isEmpty
            else { return nil }
            self = .refused(ImageFault(reason, oneLine(detail)))
        default: return nil
        }
    }
}
