import ELF
import Glibc
import Testing

@testable import Host

/// The check of an image's bytes, on images made by hand and by a linker.
@Suite struct ImageELFTests {
    private func check(_ bytes: [UInt8], machine: UInt16 = ELFMachine.amd64) -> Result<ELFSummary, ELFFault> {
        bytes.withUnsafeBytes { checkELF($0, machine: machine) }
    }

    private func fault(_ change: (inout ImageELFBuilder) -> Void) -> ELFFault? {
        var builder = ImageELFBuilder()
        change(&builder)
        return fault(builder.build())
    }

    private func fault(_ bytes: [UInt8], machine: UInt16 = ELFMachine.amd64) -> ELFFault? {
        if case .failure(let fault) = check(bytes, machine: machine) { return fault }
        return nil
    }

    private func patched(_ offset: Int, _ bytes: [UInt8]) -> [UInt8] {
        var image = ImageELFBuilder().build()
        image.replaceSubrange(offset..<offset + bytes.count, with: bytes)
        return image
    }

    @Test(arguments: [ImageELFBuilder.Hash.gnu, .system]) func smallestImage(_ hash: ImageELFBuilder.Hash) throws {
        var builder = ImageELFBuilder()
        builder.hash = hash
        builder.needed = ["libc.so.6", "libswiftCore.so"]
        let summary = try check(builder.build()).get()
        #expect(summary.neededLibraries == ["libc.so.6", "libswiftCore.so"])
        #expect(summary.sharesSwiftRuntime)
        #expect(!summary.hasSwiftSections)
    }

    @Test func header() {
        #expect(fault([UInt8]()) == .empty)
        #expect(fault(Array("\u{7F}EL".utf8)) == .truncated(needs: 64, has: 3))
        #expect(fault(Array("text".utf8)) == .notELF)
        #expect(fault(patched(4, [1])) == .foreignFormat("of class 1 (32 bits is 1)"))
        #expect(fault(patched(5, [2])) == .foreignFormat("of byte order 2 (big endian is 2)"))
        #expect(fault(patched(6, [2])) == .foreignFormat("of ELF version 1"))
        #expect(fault(patched(7, [9])) == .foreignFormat("for the system ABI 9"))
        #expect(fault { $0.type = 2 } == .notSharedLibrary("an executable"))
        #expect(fault { $0.type = 1 } == .notSharedLibrary("an object file"))
        #expect(fault { $0.machine = 183 } == .foreignMachine(183, host: 62))
        #expect(fault(ImageELFBuilder().build(), machine: 183) == .foreignMachine(62, host: 183))
        #expect(ELFFault.foreignMachine(183, host: 62).description.contains("AArch64"))
        #expect(fault(patched(56, [0, 0])) == .malformed("0 program headers; 1 to 64 are taken"))
        #expect(fault(patched(56, [255, 255])) == .malformed("65535 program headers; 1 to 64 are taken"))
    }

    @Test func segments() {
        #expect(fault { $0.codeFlags = 7 } == .writableCode)
        #expect(fault { $0.codeFlags = 4 } == .malformed("no segment holds code"))
        #expect(fault { $0.stackFlags = 7 } == .executableStack(declared: true))
        #expect(fault { $0.stackFlags = nil } == .executableStack(declared: false))
        let first = ImageELFBuilder.programHeaders
        let second = first + 56
        #expect(fault(patched(first + 48, [0, 2])) == .malformed("a segment is not aligned to pages"))
        #expect(fault(patched(first + 40, [0, 0])) == .malformed("a segment is larger in the file than mapped"))
        #expect(fault(patched(second + 17, [1])) == .malformed("segments overlap or are out of order"))
        #expect(fault(patched(second + 46, [1])) == .malformed("the segments span more than 4 GiB"))
        #expect(fault(patched(second + 16 + 7, [0xFF])) == .malformed("the segments span more than 4 GiB"))
        #expect(fault(patched(second + 34, [1, 0, 0, 0, 0, 0, 0, 0, 1])) != nil)
        #expect(fault(patched(first + 112, [6])) == .malformed("no dynamic table (it is linked statically)"))
    }

    @Test func dynamicTable() {
        #expect(fault { $0.extraDynamic = [(22, 0)] } == .textRelocations)
        #expect(fault { $0.extraDynamic = [(30, 4)] } == .textRelocations)
        #expect(fault { $0.extraDynamic = [(30, 8)] } == nil)
        #expect(
            fault { $0.extraDynamic = [(0x6FFF_FFFB, 0x0800_0001)] }
                == .notSharedLibrary("a position-independent executable"))
        let outside = "a table of the dynamic linker (tag 7) lies outside of the segments"
        #expect(fault { $0.extraDynamic = [(7, 0x9000), (8, 24)] } == .malformed(outside))
        #expect(fault { $0.extraDynamic = [(7, .max), (8, .max)] } == .malformed(outside))
        #expect(
            fault { $0.extraDynamic = [(1, 5000)] } == .malformed("a name lies outside of the table of strings"))
        #expect(
            fault { $0.extraDynamic = [(5, .max - 7)] }
                == .malformed("the table of strings lies outside of the segments"))
        #expect(
            fault { $0.extraDynamic = [(6, 0x5000)] }
                == .malformed("the table of symbols lies outside of the segments"))
    }

    @Test(arguments: [ImageELFBuilder.Hash.gnu, .system]) func entry(_ hash: ImageELFBuilder.Hash) {
        #expect(fault { ($0.hash, $0.entryName) = (hash, "sluice_plugin_entrance") } == .entryMissing)
        #expect(fault { ($0.hash, $0.entryName) = (hash, "sluice_plugin_entr") } == .entryMissing)
        #expect(fault { ($0.hash, $0.entryInfo) = (hash, 0x11) } == .entryNotFunction("no function"))
        #expect(fault { ($0.hash, $0.entryInfo) = (hash, 0x02) } == .entryNotFunction("no global symbol"))
        #expect(fault { ($0.hash, $0.entryVisibility) = (hash, 2) } == .entryNotFunction("hidden"))
        #expect(fault { ($0.hash, $0.entrySection) = (hash, 0) } == .entryNotFunction("used, but not defined"))
    }

    /// Every cut leaves the headers' promise unkept, and says so.
    @Test func truncatedAtEveryByte() {
        let image = ImageELFBuilder().build()
        for size in 4..<image.count {
            guard case .truncated(_, let has) = fault(Array(image[..<size])) else {
                Issue.record("\(size) of \(image.count) bytes: \(String(describing: fault(Array(image[..<size]))))")
                return
            }
            #expect(has == UInt64(size))
        }
    }

    /// No image makes the check trap or run for long, whichever byte lies.
    @Test(arguments: [ImageELFBuilder.Hash.gnu, .system]) func everyByteWrong(_ hash: ImageELFBuilder.Hash) {
        var builder = ImageELFBuilder()
        builder.hash = hash
        let image = builder.build()
        var refused = 0
        for offset in image.indices {
            for value: UInt8 in [0, 1, 0x7F, 0x80, 0xFF] {
                var changed = image
                changed[offset] = value
                if fault(changed) != nil { refused += 1 }
            }
        }
        #expect(refused > 500)
    }

    /// What a linker makes, with each of its two hash formats, and what the loader does with a stranger's.
    @Test func linkedImages() throws {
        let fixture = try ImageFixture()
        let registry = fixture.registry
        func load(_ name: String) throws -> ImageRefusal {
            try refusal(of: registry.load(path: fixture.path(name), pin: nil, allowGroupWritable: false))
        }
        for style in ["gnu", "sysv", "both"] {
            try fixture.plugin("\(style).so", [], ["-Wl,--hash-style=\(style)", "-Wl,-soname,lib\(style).so"])
            let summary = try fixture.read("\(style).so").withUnsafeBytes { checkELF($0) }.get()
            #expect(summary.sharedObjectName == "lib\(style).so")
            #expect(summary.mappedBytes > 4096)
        }
        try fixture.plugin("no-entry.so", ["NO_ENTRY"])
        #expect(try load("no-entry.so").reason == .entryMissing)
        try fixture.plugin("data.so", ["NO_ENTRY"], ["-Wl,--defsym=sluice_plugin_entry=calls"])
        #expect(try load("data.so").reason == .entryNotFunction)
        try fixture.plugin("stack.so", [], ["-Wl,-z,execstack"])
        #expect(try load("stack.so").reason == .executableStack)
        var stranger = try fixture.read("gnu.so")
        stranger[18] = ELFMachine.host == ELFMachine.amd64 ? 183 : 62
        try fixture.write(stranger, to: "stranger.so")
        #expect(try load("stranger.so").reason == .foreignMachine)
        #expect(registry.count == 0)
    }

    /// The seeds of the fuzzer are what this builder makes: one of each kind that gets far into the check.
    @Test func fuzzerSeedsAreCurrent() throws {
        for (name, seed) in Self.seeds {
            let path = "\(ImageFixture.repository)/Tests/Fuzz/Corpus/elf/\(name)"
            if let update = getenv("SLUICE_WRITE_SEEDS"), update.pointee != 0 {
                let file = try #require(fopen(path, "w"))
                #expect(fwrite(seed, 1, seed.count, file) == seed.count)
                fclose(file)
            }
            #expect(try ImageFixture.contents(of: path) == seed, "\(name)")
        }
    }

    static let seeds: [(String, [UInt8])] = {
        func image(_ change: (inout ImageELFBuilder) -> Void) -> [UInt8] {
            var builder = ImageELFBuilder()
            change(&builder)
            return builder.build()
        }
        return [
            ("gnu-hash", image { _ in }), ("system-hash", image { $0.hash = .system }),
            ("aarch64", image { $0.machine = ELFMachine.aarch64 }),
            ("no-sections", image { $0.hasSectionHeaders = false }),
            ("relocations", image { $0.extraDynamic = [(7, 0x1180), (8, 24), (29, 1), (14, 1)] }),
            ("no-entry", image { $0.entryName = "another" }), ("header", Array(image { _ in }.prefix(64))),
        ]
    }()
}
