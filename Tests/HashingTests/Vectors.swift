import Glibc
import SluiceHashing

/// The lines of Reference/vectors.txt, in words.
enum Vectors {
    struct Unreadable: Error {}

    static func lines(_ kind: String) throws -> [[String]] {
        let directory = #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast()
        guard let file = fopen(directory.joined(separator: "/") + "/Reference/vectors.txt", "r") else {
            throw Unreadable()
        }
        defer { fclose(file) }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = fread(&chunk, 1, chunk.count, file)
            if count == 0 { break }
            bytes += chunk[..<count]
        }
        let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
        return lines.map { $0.split(separator: " ").map(String.init) }.filter { $0.first == kind }
    }

    /// The names of a pool, as the reference has them.
    static func names(_ count: Int) -> [[UInt8]] {
        (0..<count).map { Array("http://10.0.\($0 / 250).\($0 % 250 + 1):8080".utf8) }
    }
}

/// The hash of a text.
func hash(_ text: String, seed: UInt64 = 0) -> UInt64 {
    Array(text.utf8).withUnsafeBytes { XXHash64.hash($0, seed: seed) }
}

func hexadecimal(_ value: UInt64) -> String {
    let digits = String(value, radix: 16)
    return String(repeating: "0", count: 16 - digits.count) + digits
}
