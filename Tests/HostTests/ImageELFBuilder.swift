/// Makes the smallest shared library that exports the entry, by hand: one segment of code, one of data, a dynamic
/// table, and a hash in either format. What is wrong with an image is then one line of a test.
struct ImageELFBuilder {
    enum Hash { case gnu, system }

    var hash = Hash.gnu
    /// Linkers write a GNU hash whose buckets begin at the first defined symbol.
    var entryName = "sluice_plugin_entry"
    var machine: UInt16 = 62
    var type: UInt16 = 3
    var needed = ["libc.so.6"]
    /// st_info of the entry: global function.
    var entryInfo: UInt8 = 0x12
    var entryVisibility: UInt8 = 0
    var entrySection: UInt16 = 1
    var stackFlags: UInt32? = 6
    var codeFlags: UInt32 = 5
    var extraDynamic: [(UInt64, UInt64)] = []
    var hasSectionHeaders = true

    /// Where the parts begin in the file.
    static let programHeaders = 64
    static let code = 0x140
    static let data = 0x180

    func build() -> [UInt8] {
        var strings = Array("\0\(entryName)\0".utf8)
        var neededOffsets: [UInt64] = []
        for name in needed {
            neededOffsets.append(UInt64(strings.count))
            strings += Array(name.utf8) + [0]
        }
        while strings.count % 8 != 0 { strings.append(0) }
        let symbols = [UInt8](repeating: 0, count: 24) + symbol()
        let hashTable = hash == .gnu ? gnuHash() : systemHash()
        let stringsAt = UInt64(Self.data)
        let symbolsAt = stringsAt + UInt64(strings.count)
        let hashAt = symbolsAt + UInt64(symbols.count)
        let dynamicAt = hashAt + UInt64(hashTable.count)

        var dynamic: [(UInt64, UInt64)] = neededOffsets.map { (1, $0) }
        dynamic += [(hash == .gnu ? 0x6FFF_FEF5 : 4, hashAt), (5, stringsAt), (6, symbolsAt)]
        dynamic += [(10, UInt64(strings.count)), (11, 24)] + extraDynamic + [(0, 0)]
        let dynamicBytes = dynamic.flatMap { bytes($0.0) + bytes($0.1) }
        let end = dynamicAt + UInt64(dynamicBytes.count)
        let dataSize = end - UInt64(Self.data)

        // The data segment's address is one page up, at the same place within it as in the file.
        var headers = [
            programHeader(1, codeFlags, 0, 0, UInt64(Self.data), UInt64(Self.data), 4096),
            programHeader(1, 6, UInt64(Self.data), 0x1000 + UInt64(Self.data), dataSize, dataSize, 4096),
            programHeader(
                2, 6, dynamicAt, 0x1000 + dynamicAt, UInt64(dynamicBytes.count), UInt64(dynamicBytes.count), 8),
        ]
        if let stackFlags { headers.append(programHeader(0x6474_E551, stackFlags, 0, 0, 0, 0, 16)) }

        var image = fileHeader(headers.count, sectionHeaders: hasSectionHeaders ? end : 0)
        image += headers.joined()
        image += [UInt8](repeating: 0x90, count: Self.data - image.count)
        image += strings + symbols + hashTable
        // Addresses in the table are those of memory.
        for (tag, value) in dynamic {
            let isAddress = [4, 5, 6, 0x6FFF_FEF5].contains(tag)
            image += bytes(tag) + bytes(isAddress ? value &+ 0x1000 : value)
        }
        if hasSectionHeaders { image += [UInt8](repeating: 0, count: 64) }
        return image
    }

    private func fileHeader(_ headers: Int, sectionHeaders: UInt64) -> [UInt8] {
        var header: [UInt8] = [0x7F, 0x45, 0x4C, 0x46, 2, 1, 1, 0] + [UInt8](repeating: 0, count: 8)
        header += bytes(type) + bytes(machine) + bytes(UInt32(1)) + bytes(UInt64(0))
        header += bytes(UInt64(Self.programHeaders)) + bytes(sectionHeaders) + bytes(UInt32(0))
        header += bytes(UInt16(64)) + bytes(UInt16(56)) + bytes(UInt16(headers))
        header += bytes(UInt16(64)) + bytes(UInt16(sectionHeaders == 0 ? 0 : 1)) + bytes(UInt16(0))
        return header
    }

    private func programHeader(
        _ type: UInt32, _ flags: UInt32, _ offset: UInt64, _ address: UInt64, _ fileSize: UInt64, _ memorySize: UInt64,
        _ alignment: UInt64
    ) -> [UInt8] {
        bytes(type) + bytes(flags) + [offset, address, address, fileSize, memorySize, alignment].flatMap { bytes($0) }
    }

    private func symbol() -> [UInt8] {
        bytes(UInt32(1)) + [entryInfo, entryVisibility] + bytes(entrySection) + bytes(UInt64(Self.code))
            + bytes(UInt64(1))
    }

    /// One bucket, a Bloom filter that lets all pass, one chain of one symbol.
    private func gnuHash() -> [UInt8] {
        let value = entryName.utf8.reduce(UInt32(5381)) { $0 &* 33 &+ UInt32($1) }
        return bytes(UInt32(1)) + bytes(UInt32(1)) + bytes(UInt32(1)) + bytes(UInt32(6)) + bytes(UInt64.max)
            + bytes(UInt32(1)) + bytes(value | 1)
    }

    /// One bucket that leads to symbol 1, whose chain ends.
    private func systemHash() -> [UInt8] {
        [1, 2, 1, 0, 0, 0].flatMap { bytes(UInt32($0)) }
    }

    private func bytes<Value: FixedWidthInteger>(_ value: Value) -> [UInt8] {
        withUnsafeBytes(of: value.littleEndian) { Array($0) }
    }
}
