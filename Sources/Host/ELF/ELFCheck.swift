/// Checks that the dynamic linker will find in `bytes` what it trusts the headers about, and that the image is a plugin
/// for this machine: class, machine and type; segments within the file, ordered, aligned, none of them writable and
/// executable; a dynamic table whose tables lie within the segments; the entry exported as a function; no executable
/// stack and no text relocations. (System V ABI, chapters 4 and 5; the x86-64 and AArch64 supplements.)
///
/// - Parameter requiresEntry: False for a library that is no plugin: it may lack the entry.
///
/// A pure function of the bytes: it never traps, reads nothing outside of them, and its time is linear in their number.
public func checkELF(
    _ bytes: UnsafeRawBufferPointer, machine: UInt16 = ELFMachine.host, requiresEntry: Bool = true
) -> Result<ELFSummary, ELFFault> {
    Result { () throws(ELFFault) in
        let file = ELFBytes(bytes: bytes)
        let header = try ELFHeader(file, machine: machine)
        let segments = try ELFSegments(file, header)
        let dynamic = try ELFDynamicTable(file, segments)
        let symbols = ELFSymbols(file, segments, dynamic)
        if requiresEntry { try symbols.checkEntry() }
        var summary = ELFSummary()
        summary.neededLibraries = dynamic.neededLibraries
        summary.sharedObjectName = dynamic.sharedObjectName
        summary.runPath = dynamic.runPath
        summary.mappedBytes = segments.span
        summary.hasSwiftSections = header.hasSwiftSections(file)
        return summary
    }
}

/// The file header (Elf64_Ehdr).
struct ELFHeader {
    static let size: UInt64 = 64
    static let programHeaderSize: UInt64 = 56
    static let sectionHeaderSize: UInt64 = 64
    /// Linkers write about ten program headers. The bound keeps the check of their order cheap.
    static let maximumProgramHeaders: UInt16 = 64

    let programHeaders: UInt64
    let programHeaderCount: UInt16
    let sectionHeaders: UInt64
    let sectionHeaderCount: UInt16
    let sectionNames: UInt16

    init(_ file: ELFBytes, machine: UInt16) throws(ELFFault) {
        guard file.count > 0 else { throw .empty }
        let magic: [UInt8] = [0x7F, 0x45, 0x4C, 0x46]
        guard file.bytes.prefix(4).elementsEqual(magic.prefix(file.bytes.count)) else { throw .notELF }
        guard let type = file.read(UInt16.self, at: 16), let itsMachine = file.read(UInt16.self, at: 18),
            let version = file.read(UInt32.self, at: 20), let programHeaders = file.read(UInt64.self, at: 32),
            let sectionHeaders = file.read(UInt64.self, at: 40), let headerSize = file.read(UInt16.self, at: 52),
            let entrySize = file.read(UInt16.self, at: 54), let count = file.read(UInt16.self, at: 56),
            let sectionSize = file.read(UInt16.self, at: 58), let sectionCount = file.read(UInt16.self, at: 60),
            let sectionNames = file.read(UInt16.self, at: 62)
        else { throw .truncated(needs: Self.size, has: file.count) }

        guard file.bytes[4] == 2 else { throw .foreignFormat("of class \(file.bytes[4]) (32 bits is 1)") }
        guard file.bytes[5] == 1 else { throw .foreignFormat("of byte order \(file.bytes[5]) (big endian is 2)") }
        guard file.bytes[6] == 1, version == 1 else { throw .foreignFormat("of ELF version \(version)") }
        // EI_OSABI: System V, or GNU for libraries with indirect functions and unique symbols.
        guard file.bytes[7] == 0 || file.bytes[7] == 3 else {
            throw .foreignFormat("for the system ABI \(file.bytes[7])")
        }
        guard itsMachine == machine else { throw .foreignMachine(itsMachine, host: machine) }
        switch type {
        case 3: break
        case 1: throw .notSharedLibrary("an object file")
        case 2: throw .notSharedLibrary("an executable")
        case 4: throw .notSharedLibrary("a core file")
        default: throw .notSharedLibrary("of ELF type \(type)")
        }
        guard UInt64(headerSize) == Self.size, UInt64(entrySize) == Self.programHeaderSize, programHeaders % 8 == 0
        else { throw .malformed("the file header has other sizes than an Elf64_Ehdr") }
        guard count > 0, count <= Self.maximumProgramHeaders else {
            throw .malformed("\(count) program headers; 1 to \(Self.maximumProgramHeaders) are taken")
        }
        let programHeadersSize = UInt64(count) * Self.programHeaderSize
        guard file.holds(programHeadersSize, at: programHeaders) else {
            throw .truncated(needs: programHeaders.addingSaturated(programHeadersSize), has: file.count)
        }
        // The dynamic linker does not read sections. But they end a file, and tell one that lost its end.
        if sectionHeaders != 0 {
            guard UInt64(sectionSize) == Self.sectionHeaderSize else {
                throw .malformed("section headers of \(sectionSize) bytes")
            }
            let sectionHeadersSize = UInt64(sectionCount) * Self.sectionHeaderSize
            guard file.holds(sectionHeadersSize, at: sectionHeaders) else {
                throw .truncated(needs: sectionHeaders.addingSaturated(sectionHeadersSize), has: file.count)
            }
        }
        self.programHeaders = programHeaders
        programHeaderCount = count
        self.sectionHeaders = sectionHeaders
        sectionHeaderCount = sectionHeaders == 0 ? 0 : sectionCount
        self.sectionNames = sectionNames
    }

    /// Whether a section's name begins with `swift5_`: metadata that every Swift compiler emits. False, too, for a
    /// file without section headers.
    func hasSwiftSections(_ file: ELFBytes) -> Bool {
        func field(_ section: UInt16, _ offset: UInt64) -> UInt64? {
            file.read(
                UInt64.self, base: sectionHeaders + offset, index: UInt64(section), stride: Self.sectionHeaderSize)
        }
        guard sectionNames < sectionHeaderCount, let names = field(sectionNames, 24) else { return false }
        let prefix = Array("swift5_".utf8)
        for section in 0..<sectionHeaderCount {
            guard let fields = field(section, 0) else { return false }
            let (name, beyond) = names.addingReportingOverflow(fields & 0xFFFF_FFFF)
            guard !beyond, file.holds(UInt64(prefix.count), at: name) else { continue }
            if file.bytes[Int(name)..<Int(name) + prefix.count].elementsEqual(prefix) { return true }
        }
        return false
    }
}

extension UInt64 {
    /// The sum, or the largest value where it would overflow: for messages about sizes that make no sense.
    func addingSaturated(_ other: UInt64) -> UInt64 {
        let (sum, overflow) = addingReportingOverflow(other)
        return overflow ? .max : sum
    }
}
