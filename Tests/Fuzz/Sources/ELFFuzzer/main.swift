// The check of a plugin's image: it returns for any bytes, and what it accepts it also accepts where more follows.
import ELF
import FuzzDriver

fuzz { data, count in
    let bytes = UnsafeRawBufferPointer(start: data, count: count)
    for machine in [ELFMachine.amd64, ELFMachine.aarch64] {
        switch checkELF(bytes, machine: machine) {
        case .success(let summary):
            expect(summary.mappedBytes > 0, "an image that is accepted maps something")
            expect(summary.neededLibraries.count <= count / 16, "names are entries of the dynamic table")
            // The headers say how much of a file there must be: a tail is nobody's.
            let longer = UnsafeMutableRawBufferPointer.allocate(byteCount: count + 7, alignment: 1)
            defer { longer.deallocate() }
            longer.initializeMemory(as: UInt8.self, repeating: 0xFF)
            longer.copyMemory(from: bytes)
            let again = checkELF(UnsafeRawBufferPointer(longer), machine: machine)
            expect(again == .success(summary), "a tail changes nothing")
        case .failure(.truncated(let needs, let has)):
            expect(has == UInt64(count) && needs > has, "a file that is cut off is shorter than its headers say")
        case .failure(let fault):
            expect(!fault.description.isEmpty, "a fault has words")
        }
    }
    return 0
}
