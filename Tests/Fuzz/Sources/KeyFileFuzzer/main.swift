// Files of keys: what is accepted holds one line each, within bounds, and can be written from its digests and read
// again.
import ApiKeyFormat
import FuzzDriver

func hexadecimal(_ key: GivenKey) -> String {
    let words = key.digest.words
    return [words.0, words.1, words.2, words.3].map { word in
        let digits = String(word, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }.joined()
}

fuzz { data, count in
    let text = Array(UnsafeBufferPointer(start: data, count: count))
    do throws(KeyFile.Problem) {
        let entries = try KeyFile(text, entriesAtMost: 8).entries
        expect(entries.count <= 8, "the bound on entries")
        expect(zip(entries, entries.dropFirst()).allSatisfy { $0.line < $1.line }, "a line has one entry")
        let again = entries.map { "sha256:\(hexadecimal($0.key)) \($0.tenant)" }.joined(separator: "\n")
        do throws(KeyFile.Problem) {
            let read = try KeyFile(Array(again.utf8), entriesAtMost: 8).entries
            expect(read.map(\.key.digest) == entries.map(\.key.digest), "the same digests")
            expect(read.map(\.tenant) == entries.map(\.tenant), "the same tenants")
        } catch {
            expect(false, "what was read can be written and read again")
        }
    } catch {
        expect(error.line >= 1, "lines count from 1")
    }
    return 0
}
