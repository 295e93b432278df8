import Glibc
import SluiceABI

/// A plugin's library as it was built, loaded beside the test binary: tests reach it through the C ABI alone.
struct LoadedPlugin {
    struct Failure: Error, CustomStringConvertible {
        var description: String
    }

    let block: UnsafePointer<sluice_plugin>

    /// What entries have returned, by name. A host calls an entry once, on its main thread; tests run on many.
    private final class Entries: @unchecked Sendable {
        // Of the C library, since ThreadSanitizer sees nothing of Swift's own.
        private var mutex = pthread_mutex_t()
        private var blocks: [String: UnsafePointer<sluice_plugin>] = [:]

        init() { pthread_mutex_init(&mutex, nil) }

        func block(_ name: String, _ make: () throws -> UnsafePointer<sluice_plugin>) rethrows
            -> UnsafePointer<sluice_plugin>
        {
            pthread_mutex_lock(&mutex)
            defer { pthread_mutex_unlock(&mutex) }
            if let block = blocks[name] { return block }
            let block = try make()
            blocks[name] = block
            return block
        }
    }
    private static let entries = Entries()

    init(_ name: String) throws {
        block = try Self.entries.block(name) { try Self.enter(name) }
    }

    private static func enter(_ name: String) throws -> UnsafePointer<sluice_plugin> {
        let path = try LoadedPlugin.buildDirectory() + "/lib\(name).so"
        guard let handle = dlopen(path, RTLD_LOCAL | RTLD_NOW) else {
            throw Failure(description: "\(path): \(dlerror().map { String(cString: $0) } ?? "cannot be loaded")")
        }
        guard let symbol = dlsym(handle, "sluice_plugin_entry") else {
            throw Failure(description: "\(path) exports no entry")
        }
        typealias Entry = @convention(c) (UInt32) -> UnsafePointer<sluice_plugin>?
        let entry = unsafeBitCast(symbol, to: Entry.self)
        guard let block = entry(UInt32(SLUICE_ABI_VERSION)) else {
            throw Failure(description: "\(path) refuses the host")
        }
        return block
    }

    /// The table of the extension `id`, as the struct that the id names.
    func table<Table>(_ id: String, as type: Table.Type) throws -> UnsafePointer<Table> {
        for index in 0..<Int(block.pointee.extension_count) {
            let offered = block.pointee.extensions[index]
            guard text(offered.id) == id, let table = offered.table else { continue }
            let place = table.assumingMemoryBound(to: Table.self)
            let size = table.loadUnaligned(as: UInt32.self)
            guard size == UInt32(MemoryLayout<Table>.size) else {
                throw Failure(description: "the table of \(id) has \(size) bytes")
            }
            return place
        }
        throw Failure(description: "no extension \(id)")
    }

    /// Where the build system put the test binary and the plugins.
    static func buildDirectory() throws -> String {
        var buffer = [CChar](repeating: 0, count: Int(PATH_MAX))
        let length = readlink("/proc/self/exe", &buffer, buffer.count - 1)
        guard length > 0 else { throw Failure(description: "/proc/self/exe cannot be read") }
        let path = String(decoding: buffer[..<length].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }
}
