import Glibc
import Testing

/// Files of the repository, found from this one.
enum Repository {
    static func path(_ relative: String, from file: String = #filePath) -> String {
        var parts = file.split(separator: "/")
        parts.removeLast(3)
        return "/" + parts.joined(separator: "/") + "/" + relative
    }

    static func read(_ relative: String) throws -> String {
        String(decoding: try bytes(relative), as: UTF8.self)
    }

    static func bytes(_ relative: String) throws -> [UInt8] {
        let file = try #require(fopen(path(relative), "r"), "\(relative) is missing")
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { return bytes }
            bytes += chunk[..<count]
        }
    }

    static func write(_ text: String, to relative: String) throws {
        try write(Array(text.utf8), to: relative)
    }

    static func write(_ bytes: [UInt8], to relative: String) throws {
        let file = try #require(fopen(path(relative), "w"))
        defer { fclose(file) }
        try #require(fwrite(bytes, 1, bytes.count, file) == bytes.count)
    }

    /// The names in a folder that end so, in order.
    static func names(in relative: String, ending suffix: String) throws -> [String] {
        let directory = try #require(opendir(path(relative)), "\(relative) is missing")
        defer { closedir(directory) }
        var names: [String] = []
        while let entry = readdir(directory) {
            let name = withUnsafeBytes(of: entry.pointee.d_name) { bytes in
                String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            }
            if name.hasSuffix(suffix) { names.append(name) }
        }
        return names.sorted()
    }
}
