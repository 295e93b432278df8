import Glibc

/// Natural logarithms of whole numbers, those of small ones from a table: attempts under way are few.
struct Logarithms: ~Copyable {
    /// 2 KiB: an endpoint with more than that under way is no longer a matter of nanoseconds.
    private static var count: Int { 256 }
    private let table: UnsafeMutablePointer<Double>

    init() {
        table = .allocate(capacity: Self.count)
        for number in 0..<Self.count { (table + number).initialize(to: log(Double(max(number, 1)))) }
    }

    deinit { table.deallocate() }

    /// `number` is at least 1.
    func of(_ number: Int) -> Double {
        UInt(bitPattern: number) < UInt(Self.count) ? table[number] : log(Double(number))
    }
}
