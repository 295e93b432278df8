import Glibc
import SluiceABI
import Testing

/// The ABI is a promise to binaries: this fails when the header changes in any way that one of them could notice. The
/// table beside it is generated, and its head names the command.
@Suite struct ABILayoutTests {
    @Test func everyStructLiesAsPinned() { ABILayout.pinStructs() }
    @Test func everyNumberIsAsPinned() { ABILayout.pinNumbers() }
    @Test func everyIdIsAsPinned() { ABILayout.pinTexts() }

    @Test func theHeaderDeclaresNothingThatIsNotPinned() throws {
        let header = try ABILayout.header()
        let table = try ABILayout.read("Tests/PluginTests/ABILayout.swift")
        let structs = header.matches(of: /typedef struct (\w+) \{/).map { String($0.1) }
        #expect(structs.count > 40)
        for name in structs {
            #expect(name.contains(/_[1-9]$/), "\(name): a tag carries its version")
            // A first version goes by its name alone; later ones keep their number.
            let pinned = name.hasSuffix("_1") ? String(name.dropLast(2)) : name
            #expect(table.contains("\"\(pinned)\""), "\(name) is not pinned")
        }
        let constants = header.matches(of: /\n#define (SLUICE_\w+) +[("\-0-9]/).map { String($0.1) }
        #expect(constants.count > 90)
        for name in constants { #expect(table.contains("\"\(name)\""), "\(name) is not pinned") }
    }
}

enum ABILayout {
    static func pin<Value>(
        _ type: Value.Type, _ name: String, _ hash: UInt64, _ size: Int, _ alignment: Int,
        _ members: [(name: String, path: PartialKeyPath<Value>, offset: Int)]
    ) {
        #expect(MemoryLayout<Value>.size == size, "size of \(name)")
        #expect(MemoryLayout<Value>.alignment == alignment, "alignment of \(name)")
        for member in members {
            #expect(MemoryLayout<Value>.offset(of: member.path) == member.offset, "\(name).\(member.name)")
        }
        // Types of members, and of what their functions take and give, which offsets do not tell.
        #expect(declarationHash(name) == hash, "declaration of \(name)")
    }

    static func pin(_ name: String, _ value: Int64, _ pinned: Int64) { #expect(value == pinned, "\(name)") }
    static func pin(_ name: String, _ value: String, _ pinned: String) { #expect(value == pinned, "\(name)") }

    /// FNV-1a of a struct's declaration without comments and layout; 0 when there is none.
    static func declarationHash(_ name: String) -> UInt64 {
        guard let header = try? header() else { return 0 }
        let bare = header.replacing(/\/\*.*?\*\//.dotMatchesNewlines(), with: " ")
            .replacing(/(?m)^\s*#.*$/, with: " ")
            .replacing(/\s+/, with: " ")
        let ending = "} \(name);"
        guard let end = bare.firstRange(of: ending)?.upperBound,
            let start = bare[..<end].ranges(of: "typedef struct ").last?.lowerBound
        else { return 0 }
        return bare[start..<end].utf8.reduce(0xcbf2_9ce4_8422_2325) { ($0 ^ UInt64($1)) &* 0x100_0000_01b3 }
    }

    static func header() throws -> String { try read("Sources/PluginAPI/ABI/include/sluice/plugin.h") }

    /// A file of the repository.
    static func read(_ path: String) throws -> String {
        let root = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        guard let file = fopen("\(root)/\(path)", "r") else {
            throw LoadedPlugin.Failure(description: "\(path) cannot be read")
        }
        defer { fclose(file) }
        var content: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return String(decoding: content, as: UTF8.self) }
            content += chunk[..<count]
        }
    }
}
