/// The dynamic table: where the dynamic linker finds symbols, strings, relocations and the names of other libraries.
struct ELFDynamicTable {
    static let entrySize: UInt64 = 16
    /// Linkers write about thirty entries, and one for each needed library.
    static let maximumEntries: UInt64 = 1024
    /// Room for the longest path that Linux knows (PATH_MAX).
    static let maximumText: UInt64 = 4096

    private(set) var neededLibraries: [String] = []
    private(set) var sharedObjectName: String?
    private(set) var runPath: String?
    /// Offset in the file, and size.
    let strings: (offset: UInt64, size: UInt64)
    let symbolsAddress: UInt64
    let hashAddress: UInt64?
    let gnuHashAddress: UInt64?

    init(_ file: ELFBytes, _ segments: ELFSegments) throws(ELFFault) {
        guard let table = segments.offset(of: segments.dynamicAddress, size: segments.dynamicSize) else {
            throw .malformed("the dynamic table lies outside of the segments")
        }
        var values: [UInt64: UInt64] = [:]
        var needed: [UInt64] = []
        var isTerminated = false
        for index in 0..<min(segments.dynamicSize / Self.entrySize, Self.maximumEntries) {
            guard let tag = file.read(UInt64.self, base: table, index: index, stride: Self.entrySize),
                let value = file.read(UInt64.self, base: table + 8, index: index, stride: Self.entrySize)
            else { break }
            if tag == Tag.null {
                isTerminated = true
                break
            }
            if tag == Tag.needed { needed.append(value) } else { values[tag] = value }
        }
        guard isTerminated else { throw .malformed("the dynamic table has no end") }

        if values[Tag.flags1, default: 0] & 0x0800_0000 != 0 {  // DF_1_PIE
            throw .notSharedLibrary("a position-independent executable")
        }
        if values[Tag.textRelocations] != nil || values[Tag.flags, default: 0] & 4 != 0 {  // DF_TEXTREL
            throw .textRelocations
        }
        guard let stringsAddress = values[Tag.strings], let stringsSize = values[Tag.stringsSize], stringsSize > 0,
            let stringsOffset = segments.offset(of: stringsAddress, size: stringsSize)
        else { throw .malformed("the table of strings lies outside of the segments") }
        guard let symbols = values[Tag.symbols], values[Tag.symbolSize] == ELFSymbols.entrySize,
            segments.extent(of: symbols) != nil
        else { throw .malformed("the table of symbols lies outside of the segments") }
        guard values[Tag.hash] != nil || values[Tag.gnuHash] != nil else { throw .malformed("no hash of its symbols") }
        for (address, size) in Tag.regions where values[address] != nil && values[size, default: 0] > 0 {
            guard segments.offset(of: values[address, default: 0], size: values[size, default: 0]) != nil else {
                throw .malformed("a table of the dynamic linker (tag \(address)) lies outside of the segments")
            }
        }
        strings = (stringsOffset, stringsSize)
        symbolsAddress = symbols
        hashAddress = values[Tag.hash]
        gnuHashAddress = values[Tag.gnuHash]
        for name in needed { neededLibraries.append(try string(file, name)) }
        if let name = values[Tag.sharedObjectName] { sharedObjectName = try string(file, name) }
        if let path = values[Tag.runPath] ?? values[Tag.rPath] { runPath = try string(file, path) }
    }

    private func string(_ file: ELFBytes, _ index: UInt64) throws(ELFFault) -> String {
        guard index < strings.size,
            let text = file.text(at: strings.offset + index, limit: min(strings.size - index, Self.maximumText))
        else { throw .malformed("a name lies outside of the table of strings") }
        return text
    }

    /// The tags (DT_*) that are read here.
    enum Tag {
        static let null: UInt64 = 0
        static let needed: UInt64 = 1
        static let hash: UInt64 = 4
        static let strings: UInt64 = 5
        static let symbols: UInt64 = 6
        static let stringsSize: UInt64 = 10
        static let symbolSize: UInt64 = 11
        static let sharedObjectName: UInt64 = 14
        static let rPath: UInt64 = 15
        static let textRelocations: UInt64 = 22
        static let runPath: UInt64 = 29
        static let flags: UInt64 = 30
        static let gnuHash: UInt64 = 0x6FFF_FEF5
        static let flags1: UInt64 = 0x6FFF_FFFB
        /// Address and size: RELA, JMPREL, INIT_ARRAY, FINI_ARRAY, RELR.
        static let regions: [(UInt64, UInt64)] = [(7, 8), (23, 2), (25, 27), (26, 28), (36, 35)]
    }
}

/// The symbols that the image exports, found the way the dynamic linker finds them.
struct ELFSymbols {
    static let entrySize: UInt64 = 24
    static let entryName: StaticString = "sluice_plugin_entry"

    let file: ELFBytes
    let segments: ELFSegments
    let dynamic: ELFDynamicTable

    init(_ file: ELFBytes, _ segments: ELFSegments, _ dynamic: ELFDynamicTable) {
        self.file = file
        self.segments = segments
        self.dynamic = dynamic
    }

    /// That `sluice_plugin_entry` is there, is defined, and is a function.
    func checkEntry() throws(ELFFault) {
        guard let symbols = segments.extent(of: dynamic.symbolsAddress) else {
            throw .malformed("the table of symbols lies outside of the segments")
        }
        // The dynamic linker uses the GNU hash where there are both.
        let found =
            if let address = dynamic.gnuHashAddress {
                try findByGNUHash(address, symbols)
            } else if let address = dynamic.hashAddress {
                try findByHash(address, symbols)
            } else {
                UInt64?.none
            }
        guard let index = found, let symbol = Symbol(file, symbols, index) else { throw .entryMissing }
        guard symbol.section != 0 else { throw .entryNotFunction("used, but not defined") }
        guard symbol.binding == 1 || symbol.binding == 2 else { throw .entryNotFunction("no global symbol") }
        guard symbol.visibility == 0 || symbol.visibility == 3 else { throw .entryNotFunction("hidden") }
        guard symbol.type == 2 else { throw .entryNotFunction("no function") }
        guard segments.isCode(symbol.value) else { throw .entryNotFunction("outside of the code") }
    }

    /// An Elf64_Sym.
    private struct Symbol {
        let name: UInt64
        let binding: UInt8
        let type: UInt8
        let visibility: UInt8
        let section: UInt16
        let value: UInt64

        init?(_ file: ELFBytes, _ table: (offset: UInt64, size: UInt64), _ index: UInt64) {
            guard index < table.size / entrySize else { return nil }
            let base = table.offset + index * entrySize
            guard let name = file.read(UInt32.self, at: base), let info = file.read(UInt8.self, at: base + 4),
                let other = file.read(UInt8.self, at: base + 5), let section = file.read(UInt16.self, at: base + 6),
                let value = file.read(UInt64.self, at: base + 8)
            else { return nil }
            self.name = UInt64(name)
            binding = info >> 4
            type = info & 15
            visibility = other & 3
            self.section = section
            self.value = value
        }
    }

    private func isEntry(_ index: UInt64, _ symbols: (offset: UInt64, size: UInt64)) -> Bool {
        guard let symbol = Symbol(file, symbols, index), symbol.name < dynamic.strings.size else { return false }
        let offset = dynamic.strings.offset + symbol.name
        return file.text(at: offset, limit: dynamic.strings.size - symbol.name, is: Self.entryName)
    }

    /// DT_GNU_HASH: header, Bloom filter, buckets, and a chain of hashes whose last one of a bucket has bit 0 set.
    private func findByGNUHash(_ address: UInt64, _ symbols: (offset: UInt64, size: UInt64)) throws(ELFFault) -> UInt64?
    {
        guard let table = segments.extent(of: address), table.size >= 16,
            let bucketCount = file.read(UInt32.self, at: table.offset),
            let firstSymbol = file.read(UInt32.self, at: table.offset + 4),
            let filterCount = file.read(UInt32.self, at: table.offset + 8),
            let shift = file.read(UInt32.self, at: table.offset + 12)
        else { throw .malformed("the hash of its symbols lies outside of the segments") }
        let buckets = 16 + UInt64(filterCount) * 8
        let chains = buckets + UInt64(bucketCount) * 4
        guard bucketCount > 0, filterCount > 0, filterCount & (filterCount - 1) == 0, chains <= table.size else {
            throw .malformed("the hash of its symbols contradicts itself")
        }
        var hash: UInt32 = 5381
        Self.entryName.withUTF8Buffer { name in
            for byte in name { hash = hash &* 33 &+ UInt32(byte) }
        }
        let filter = file.read(
            UInt64.self, base: table.offset + 16, index: UInt64((hash / 64) & (filterCount - 1)), stride: 8)
        let bits = UInt64(1) << UInt64(hash % 64) | UInt64(1) << UInt64((hash >> shift) % 64)
        guard let filter, filter & bits == bits else { return nil }
        let bucket = table.offset + buckets + UInt64(hash % bucketCount) * 4
        guard let first = file.read(UInt32.self, at: bucket), first >= firstSymbol, first != 0 else { return nil }
        var index = UInt64(first)
        while true {
            let position = chains + (index - UInt64(firstSymbol)) * 4
            guard position <= table.size, table.size - position >= 4,
                let value = file.read(UInt32.self, at: table.offset + position)
            else { throw .malformed("a chain of the hash of its symbols has no end") }
            if value | 1 == hash | 1, isEntry(index, symbols) { return index }
            if value & 1 == 1 { return nil }
            index += 1
        }
    }

    /// DT_HASH: counts of buckets and chains, buckets, and for each symbol the next one of its bucket.
    private func findByHash(_ address: UInt64, _ symbols: (offset: UInt64, size: UInt64)) throws(ELFFault) -> UInt64? {
        guard let table = segments.extent(of: address), table.size >= 8,
            let bucketCount = file.read(UInt32.self, at: table.offset),
            let chainCount = file.read(UInt32.self, at: table.offset + 4), bucketCount > 0,
            8 + (UInt64(bucketCount) + UInt64(chainCount)) * 4 <= table.size
        else { throw .malformed("the hash of its symbols lies outside of the segments") }
        var hash: UInt32 = 0
        Self.entryName.withUTF8Buffer { name in
            for byte in name {
                hash = hash << 4 &+ UInt32(byte)
                let high = hash & 0xF000_0000
                hash = (hash ^ high >> 24) & ~high
            }
        }
        let chains = table.offset + 8 + UInt64(bucketCount) * 4
        var index = file.read(UInt32.self, at: table.offset + 8 + UInt64(hash % bucketCount) * 4) ?? 0
        // A chain that visits more symbols than there are runs in a circle.
        for _ in 0..<chainCount {
            if index == 0 { return nil }
            if isEntry(UInt64(index), symbols) { return UInt64(index) }
            guard index < chainCount else { throw .malformed("a chain of the hash of its symbols leaves the table") }
            index = file.read(UInt32.self, at: chains + UInt64(index) * 4) ?? 0
        }
        if index == 0 { return nil }
        throw .malformed("a chain of the hash of its symbols runs in a circle")
    }
}
