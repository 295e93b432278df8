// Prompts in JSON bodies, and the hashes of their blocks. Whatever the bytes, what is found is of the body and within
// its limit; a longer limit finds more of the same; and texts have as many hashes in common as whole blocks. The first
// byte is where the text is changed.
import FuzzDriver
import PromptPrefix
import SluicePlugin

let names = [KeptText("messages"), KeptText("prompt")]

func hashes(_ text: Bytes, _ block: Int) -> [UInt64] {
    [UInt64](unsafeUninitializedCapacity: 64) { room, count in
        room.initialize(repeating: 0)
        count = PrefixHash.write(text, block: block, to: room)
    }
}

fuzz { data, count in
    guard let data, count > 0 else { return 0 }
    let whole = Bytes(UnsafeRawBufferPointer(start: data + 1, count: count - 1))
    let long = PromptText.find(in: whole, names: names, limit: 4_096)
    let short = PromptText.find(in: whole, names: names, limit: 16)
    if let long {
        guard let short else {
            expect(false, "a shorter look finds the prompt, too")
            return 0
        }
        // A bracket or quote may end the value just where the shorter look does.
        expect(short.count <= 16 && long.prefix(short.count) == short, "a shorter look finds the begin of it")
        if let start = long.raw.data, let base = whole.raw.data, !long.isEmpty {
            expect(start >= base && start + long.count <= base + whole.count, "a prompt is of its body")
        }
    }
    let block = 16
    let found = hashes(whole, block)
    expect(found.count == min(whole.count / block, 64), "a hash for each whole block")
    expect(!found.contains(0), "none is 0")
    guard !whole.isEmpty else { return 0 }
    let place = Int(data[0]) % whole.count
    var changed = Array(whole)
    changed[place] ^= 1
    let others = changed.withUnsafeBytes { hashes(Bytes($0), block) }
    for index in found.indices {
        expect((found[index] == others[index]) == (place >= (index + 1) * block), "hashes differ from the change on")
    }
    return 0
}
