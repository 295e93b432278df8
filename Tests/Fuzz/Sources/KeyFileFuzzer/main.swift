// Files of keys: what is accepted holds one line each, within bounds, and can be written and read again.
import ApiKeyFormat
import FuzzDriver
import SluiceHashing

func written(_ key: GivenKey) -> [UInt8] {
    switch key {
    case .plain(let bytes): return bytes
    case .digest(let digest):
        let words = [digest.first, digest.second, digest.third, digest.fourth].map { word in
            let digits = String(word.bigEndian, radix: 16)
            return String(repeating: "0", count: 16 - digits.count) + digits
        }
        return Array("sha256:\(words.joined())".utf8)
    }
}

fuzz { data, count in
    let text = Array(UnsafeBufferPointer(start: data, count: count))
    do throws(KeyFile.Problem) {
        let entries = try KeyFile(text, entriesAtMost: 8).entries
        expect(entries.count <= 8, "the bound on entries")
        expect(zip(entries, entries.dropFirst()).allSatisfy { $0.line < $1.line }, "a line has one entry")
        let again = entries.map { written($0.key) + Array(" \($0.tenant)".utf8) }.joined(separator: [0x0A])
        do throws(KeyFile.Problem) {
            let read = try KeyFile(Array(again), entriesAtMost: 8).entries
            expect(read.map(\.key) == entries.map(\.key), "the same keys")
            expect(read.map(\.tenant) == entries.map(\.tenant), "the same tenants")
        } catch {
            expect(false, "what was read can be written and read again")
        }
    } catch {
        expect(error.line >= 1, "lines count from 1")
    }
    return 0
}
