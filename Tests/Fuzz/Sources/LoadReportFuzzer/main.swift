// What endpoints say of their load. The first byte chooses: a page of metrics, a field of ORCA, an answer with a page
// in it, or a number. Whatever the bytes, reading ends, what is found lies within them, and a number is the one that
// C's reader finds.
import FuzzDriver
import Glibc
import LoadReports
import SluicePlugin

func within(_ part: Bytes, _ whole: Bytes) -> Bool {
    guard let start = part.raw.data, let base = whole.raw.data, !part.isEmpty else { return true }
    return start >= base && start + part.count <= base + whole.count
}

func number(_ text: Bytes) {
    let found = DecimalNumber.parse(text)
    // What strtod takes beyond: white space before it, hexadecimal digits, a NaN with a text.
    let plain = text.allSatisfy { byte in "0123456789+-.eE".utf8.contains(byte) }
    guard plain, !text.isEmpty else { return }
    let copy = text.map { CChar(bitPattern: $0) } + [0]
    var end: UnsafeMutablePointer<CChar>?
    let (expected, isWhole) = copy.withUnsafeBufferPointer { buffer in
        let start = buffer.baseAddress.unsafelyUnwrapped
        let value = strtod(start, &end)
        return (value, end == UnsafeMutablePointer(mutating: start) + text.count)
    }
    expect((found != nil) == isWhole, "a number is what C takes for one")
    guard let found, isWhole else { return }
    let isClose = abs(found - expected) <= abs(expected) * 1e-14
    // Where doubles lose digits, below the normal ones, so do products of them; near the largest one may be infinite.
    let isTiny = abs(found) < 1e-300 && abs(expected) < 1e-300
    let isHuge = abs(found) > 1e308 && abs(expected) > 1e308
    expect(isClose || found == expected || isTiny || isHuge, "a number is about what C reads")
}

fuzz { data, count in
    guard let data, count > 0 else { return 0 }
    let whole = Bytes(UnsafeRawBufferPointer(start: data + 1, count: count - 1))
    switch data[0] & 3 {
    case 0:
        var text = MetricsText(whole)
        var samples = 0
        while let sample = text.next() {
            samples += 1
            expect(samples <= count, "every sample takes a line")
            expect(within(sample.name, whole) && within(sample.labels, whole), "a sample is of the page")
            _ = sample.has(Bytes("model"), Bytes("m"))
        }
        expect(text.next() == nil, "an end is one")
    case 1:
        var report = OrcaReport(whole)
        var metrics = 0
        while let metric = report.next() {
            metrics += 1
            expect(metrics <= count, "every metric takes a byte")
            expect(within(metric.name, whole), "a metric is of the field")
        }
        expect(report.next() == nil, "an end is one")
    case 2:
        var copy = Array(UnsafeBufferPointer(start: data + 1, count: count - 1))
        copy.withUnsafeMutableBytes { answer in
            guard let page = PageAnswer.page(answer) else { return }
            expect(page.lowerBound >= 0 && page.upperBound <= answer.count, "a page is of its answer")
        }
    default: number(whole)
    }
    return 0
}
