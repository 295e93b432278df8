import SluiceABI

/// What a plugin says of itself, copied and checked.
struct ImageDescription: Equatable {
    struct Extension: Equatable {
        var id: String
        /// SLUICE_INSTANCE_*; nil for an extension that this host does not know.
        var instancing: UInt32?
    }

    var name = ""
    var version = ""
    var vendor = ""
    var licence = ""
    var buildID = ""
    var extensions: [Extension] = []

    /// The header's bound of `extension_count`.
    static let maximumExtensions = 16

    /// Reads the block that the entry returned. Nothing is trusted but that pointers with a size can be read, which the
    /// probe finds out in another process.
    init(_ plugin: UnsafePointer<sluice_plugin>) throws(ImageFault) {
        // Of a block of another ABI, only the first two fields mean what they mean here.
        let start = UnsafeRawPointer(plugin)
        guard Self.isAligned(start) else {
            throw ImageFault(.descriptionInvalid, "its entry returned a pointer that is not aligned")
        }
        let size = start.load(as: UInt32.self)
        let abi = start.load(fromByteOffset: MemoryLayout<UInt32>.size, as: UInt32.self)
        guard abi == UInt32(SLUICE_ABI_VERSION) else {
            throw ImageFault(
                .abiMismatch,
                "it is built for ABI \(abiText(abi)), and this host takes \(abiText(UInt32(SLUICE_ABI_VERSION))) only; "
                    + "build it with the sluice/plugin.h of this host")
        }
        guard Int(size) == MemoryLayout<sluice_plugin>.stride else {
            throw ImageFault(
                .descriptionInvalid,
                "its sluice_plugin states a struct_size of \(size), and here it is "
                    + "\(MemoryLayout<sluice_plugin>.stride); set it to sizeof")
        }
        let block = plugin.pointee
        guard block.reserved == 0 else {
            throw ImageFault(.descriptionInvalid, "`reserved` of its sluice_plugin is not 0")
        }
        name = try DescriptionText.name.read(block.name, "name")
        version = try DescriptionText.version.read(block.version, "version")
        vendor = try DescriptionText.free.read(block.vendor, "vendor")
        licence = try DescriptionText.free.read(block.licence, "licence")
        buildID = try DescriptionText.free.read(block.build_id, "build_id")
        guard let table = block.extensions, Self.isAligned(table),
            (1...Self.maximumExtensions).contains(Int(block.extension_count))
        else {
            throw ImageFault(
                .extensionInvalid,
                "it offers \(block.extension_count) extensions; 1 to \(Self.maximumExtensions) are taken")
        }
        for index in 0..<Int(block.extension_count) { try append(table[index]) }
        try checkExtensions()
    }

    /// Whether a struct of pointers may lie there.
    private static func isAligned(_ pointer: UnsafeRawPointer) -> Bool {
        UInt(bitPattern: pointer) % UInt(MemoryLayout<UnsafeRawPointer>.alignment) == 0
    }

    private mutating func append(_ offer: sluice_extension) throws(ImageFault) {
        let id = try DescriptionText.identifier.read(offer.id, "id of an extension")
        guard let table = offer.table else { throw ImageFault(.extensionInvalid, "its extension \(id) has no table") }
        guard Self.isAligned(table) else {
            throw ImageFault(.extensionInvalid, "the table of its extension \(id) is not aligned")
        }
        // An id that is unknown here is for other hosts: that is how kinds are negotiated.
        guard let kind = ExtensionKind.named(id) else {
            extensions.append(Extension(id: id, instancing: nil))
            return
        }
        try kind.check(table)
        let instancing = table.load(fromByteOffset: MemoryLayout<UInt32>.size, as: UInt32.self)
        extensions.append(Extension(id: id, instancing: instancing))
    }

    private func checkExtensions() throws(ImageFault) {
        for (index, offer) in extensions.enumerated() where extensions[..<index].contains(where: { $0.id == offer.id })
        {
            throw ImageFault(.extensionInvalid, "it offers \(offer.id) twice")
        }
        guard extensions.contains(where: { $0.instancing != nil }) else {
            let ids = extensions.map(\.id).joined(separator: ", ")
            throw ImageFault(
                .noKnownExtension, "it offers \(ids), and this host knows none of that; it may need a newer host")
        }
    }

    /// From fields that were checked by another process and are checked here again.
    init(name: String, version: String, vendor: String, licence: String, buildID: String, extensions: [Extension])
        throws(ImageFault)
    {
        self.name = try DescriptionText.name.check(name, "name")
        self.version = try DescriptionText.version.check(version, "version")
        self.vendor = try DescriptionText.free.check(vendor, "vendor")
        self.licence = try DescriptionText.free.check(licence, "licence")
        self.buildID = try DescriptionText.free.check(buildID, "build_id")
        for offer in extensions { _ = try DescriptionText.identifier.check(offer.id, "id of an extension") }
        self.extensions = extensions
        try checkExtensions()
    }
}

/// A kind of text in a plugin's description, with its bounds.
struct DescriptionText: Sendable {
    let bytes: ClosedRange<Int>
    let allowed: String
    let accepts: @Sendable (Unicode.Scalar) -> Bool

    /// Stands in metrics, logs and file names.
    static let name = DescriptionText(bytes: 1...64, allowed: "letters, digits, '.', '_' and '-' of ASCII") {
        isLetterOrDigit($0) || "._-".unicodeScalars.contains($0)
    }
    /// Room for any scheme of versions.
    static let version = DescriptionText(bytes: 1...64, allowed: "letters, digits and '.', '_', '-', '+', '~' of ASCII")
    {
        isLetterOrDigit($0) || "._-+~".unicodeScalars.contains($0)
    }
    static let identifier = DescriptionText(bytes: 1...64, allowed: "letters, digits, '.', '_', '-' and '/' of ASCII") {
        isLetterOrDigit($0) || "._-/".unicodeScalars.contains($0)
    }
    /// Shown to people only.
    static let free = DescriptionText(bytes: 0...256, allowed: "printable characters", accepts: { isPlain($0) })

    /// Copies a text of the plugin.
    func read(_ view: sluice_bytes, _ field: String) throws(ImageFault) -> String {
        guard bytes.contains(view.size) else { throw wrongSize(view.size, field) }
        guard view.size > 0 else { return "" }
        guard let start = view.data else {
            throw ImageFault(.descriptionInvalid, "its \(field) has \(view.size) bytes at NULL")
        }
        guard let text = String(validating: UnsafeBufferPointer(start: start, count: view.size), as: UTF8.self) else {
            throw ImageFault(.descriptionInvalid, "its \(field) is not UTF-8")
        }
        return try check(text, field)
    }

    func check(_ text: String, _ field: String) throws(ImageFault) -> String {
        guard bytes.contains(text.utf8.count) else { throw wrongSize(text.utf8.count, field) }
        guard text.unicodeScalars.allSatisfy(accepts) else {
            throw ImageFault(.descriptionInvalid, "its \(field) is `\(oneLine(text))`; only \(allowed) may stand there")
        }
        return text
    }

    private func wrongSize(_ size: Int, _ field: String) -> ImageFault {
        ImageFault(
            .descriptionInvalid,
            "its \(field) has \(size) bytes; \(bytes.lowerBound) to \(bytes.upperBound) are taken")
    }

    private static func isLetterOrDigit(_ scalar: Unicode.Scalar) -> Bool {
        scalar.isASCII && (scalar.properties.isAlphabetic || scalar.properties.numericType == .decimal)
    }
}

/// An ABI version in words of its header: "0.1".
func abiText(_ version: UInt32) -> String { "\(version >> 16).\(version & 0xFFFF)" }
