/// The program headers: what is mapped where.
struct ELFSegments {
    /// A PT_LOAD: `fileSize` bytes at `offset` appear at `address`, zeros follow up to `memorySize`.
    struct Load {
        var offset: UInt64
        var address: UInt64
        var fileSize: UInt64
        var memorySize: UInt64
        var isExecutable: Bool
    }

    /// The smallest page of both machines; the dynamic linker refuses a segment that is aligned to less.
    static let pageSize: UInt64 = 4096
    /// A plugin's zero-initialised data has no business to be larger; the sum keeps address arithmetic in 64 bits.
    static let maximumSpan: UInt64 = 1 << 32

    private(set) var loads: [Load] = []
    private(set) var dynamicAddress: UInt64 = 0
    private(set) var dynamicSize: UInt64 = 0
    /// Bytes from the first to the last address.
    private(set) var span: UInt64 = 0

    init(_ file: ELFBytes, _ header: ELFHeader) throws(ELFFault) {
        var stackFlags: UInt32?
        var dynamicOffset: UInt64?
        for index in 0..<UInt64(header.programHeaderCount) {
            let base = header.programHeaders + index * ELFHeader.programHeaderSize
            guard let type = file.read(UInt32.self, at: base), let flags = file.read(UInt32.self, at: base + 4),
                let offset = file.read(UInt64.self, at: base + 8), let address = file.read(UInt64.self, at: base + 16),
                let fileSize = file.read(UInt64.self, at: base + 32),
                let memorySize = file.read(UInt64.self, at: base + 40),
                let alignment = file.read(UInt64.self, at: base + 48)
            else { throw .truncated(needs: base + ELFHeader.programHeaderSize, has: file.count) }
            switch type {
            case 1:  // PT_LOAD
                try append(
                    Load(
                        offset: offset, address: address, fileSize: fileSize, memorySize: memorySize,
                        isExecutable: flags & 1 != 0), alignment: alignment, isWritable: flags & 2 != 0, file)
            case 2:  // PT_DYNAMIC
                guard dynamicOffset == nil else { throw .malformed("two dynamic tables") }
                dynamicOffset = offset
                dynamicAddress = address
                dynamicSize = fileSize
            case 7:  // PT_TLS
                guard fileSize <= memorySize, memorySize <= Self.maximumSpan else {
                    throw .malformed("the segment of thread-local data has a size of \(memorySize) bytes")
                }
                guard file.holds(fileSize, at: offset) else {
                    throw .truncated(needs: offset.addingSaturated(fileSize), has: file.count)
                }
            case 0x6474_E551: stackFlags = flags  // PT_GNU_STACK
            default: break
            }
        }
        guard loads.contains(where: \.isExecutable) else { throw .malformed("no segment holds code") }
        guard let stackFlags else { throw .executableStack(declared: false) }
        guard stackFlags & 1 == 0 else { throw .executableStack(declared: true) }
        guard let dynamicOffset else { throw .malformed("no dynamic table (it is linked statically)") }
        // The dynamic linker goes by the address, tools by the offset: they have to agree.
        guard let place = offset(of: dynamicAddress, size: dynamicSize), place == dynamicOffset else {
            throw .malformed("the dynamic table lies outside of the segments")
        }
    }

    private mutating func append(
        _ load: Load, alignment: UInt64, isWritable: Bool, _ file: ELFBytes
    ) throws(ELFFault) {
        guard load.fileSize <= load.memorySize else { throw .malformed("a segment is larger in the file than mapped") }
        guard load.fileSize == 0 || file.holds(load.fileSize, at: load.offset) else {
            throw .truncated(needs: load.offset.addingSaturated(load.fileSize), has: file.count)
        }
        guard !(isWritable && load.isExecutable) else { throw .writableCode }
        guard alignment >= Self.pageSize, alignment & (alignment - 1) == 0, alignment <= Self.maximumSpan,
            load.address % alignment == load.offset % alignment
        else { throw .malformed("a segment is not aligned to pages") }
        let (end, beyond) = load.address.addingReportingOverflow(load.memorySize)
        let first = loads.first?.address ?? load.address
        if let last = loads.last {
            // By pages, as they are mapped: a page that two segments share would hold only the second one's bytes.
            let lastByte = last.address + max(last.memorySize, 1) - 1
            guard load.address / Self.pageSize > lastByte / Self.pageSize else {
                throw .malformed("segments overlap or are out of order")
            }
        }
        guard !beyond, end - first <= Self.maximumSpan else { throw .malformed("the segments span more than 4 GiB") }
        loads.append(load)
        span = end - first
    }

    /// Where in the file the `size` bytes at `address` come from; nil when not all of them come from one segment.
    func offset(of address: UInt64, size: UInt64) -> UInt64? {
        for load in loads where address >= load.address {
            let distance = address - load.address
            if distance <= load.fileSize, size <= load.fileSize - distance { return load.offset + distance }
        }
        return nil
    }

    /// Where in the file `address` comes from, and how many bytes of its segment follow there.
    func extent(of address: UInt64) -> (offset: UInt64, size: UInt64)? {
        for load in loads where address >= load.address && address - load.address < load.fileSize {
            return (load.offset + (address - load.address), load.fileSize - (address - load.address))
        }
        return nil
    }

    /// Whether the byte at `address` is code of the file.
    func isCode(_ address: UInt64) -> Bool {
        loads.contains { $0.isExecutable && address >= $0.address && address - $0.address < $0.fileSize }
    }
}
