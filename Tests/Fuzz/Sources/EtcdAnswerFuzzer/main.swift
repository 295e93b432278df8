// What a member of etcd sends: HTTP, and JSON in it. The same comes of the bytes however they are cut, it keeps its
// bounds, and what was read of keys makes a set.
import EtcdDiscoveryCodec
import FuzzDriver

struct Outcome: Equatable {
    var status: UInt16 = 0
    var lines: [[UInt8]] = []
    var rest: [UInt8] = []
    var isComplete = false
    var failed = false
}

func read(_ bytes: [UInt8], cuts: [Int]) -> Outcome {
    var answer = HTTPAnswer()
    var outcome = Outcome()
    var begin = 0
    for cut in cuts + [bytes.count] {
        do { try answer.push(bytes[begin..<cut]) } catch { outcome.failed = true }
        begin = cut
        if outcome.failed { break }
        while let line = answer.takeLine() { outcome.lines.append(line) }
    }
    outcome.status = answer.status
    outcome.rest = Array(answer.content)
    outcome.isComplete = answer.isComplete
    return outcome
}

fuzz { data, count in
    guard let data else { return 0 }
    let bytes = Array(UnsafeBufferPointer(start: data, count: count))
    let whole = read(bytes, cuts: [])
    let pieces = read(bytes, cuts: cuts(of: count, by: data))
    expect(whole.failed == pieces.failed, "cuts do not decide what is an answer")
    // What was taken before a fault depends on where the cuts are, and is not used.
    if !whole.failed { expect(whole == pieces, "cuts change nothing of an answer") }
    expect(whole.lines.reduce(whole.rest.count) { $0 + $1.count } <= count, "a body is no larger than what came")
    var set = EtcdSet()
    for line in whole.lines + [whole.rest, bytes] {
        if case .events(let events)? = try? EtcdWatchMessage.read(line) {
            expect(events.count <= line.count, "an event takes a byte")
            _ = set.apply(events)
        }
        if let range = try? EtcdRange.read(line) {
            var found = EtcdSet()
            expect(found.add(range.entries, before: set), "an input has fewer keys than are kept")
            set = found
        }
        _ = try? EtcdText.token(line)
        expect(EtcdText.complaint(line, status: whole.status).utf8.count < 300, "a complaint is short")
    }
    expect(set.endpoints.count <= set.count, "a key is one endpoint")
    expect(set.complaint.utf8.count < 2_000, "a complaint is short")
    return 0
}
