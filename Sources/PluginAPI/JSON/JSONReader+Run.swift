import SluiceABI

/// The fast way through an array of numbers: plain ones, one after the other. All else, correct or not, is left to
/// `number` and `nextElement`, which alone say what JSON is: what is taken here, they would take just so.
extension JSONReader {
    /// Reads elements of an array as long as they are numbers without exponent that the type has a value of.
    ///
    /// - Parameters:
    ///   - count: the most elements that are read, and stored from `target` on.
    ///   - isFirst: whether the reader stands before the array's first element, and not behind one.
    /// - Returns: how many were read. The reader then stands behind the last one, before what separates it from the
    ///   next; where none was read, it stands where it stood.
    @inline(__always)
    mutating func readRun<Element: TensorElement>(
        into target: UnsafeMutablePointer<Element>, count: Int, isFirst: Bool
    ) -> Int {
        var begin = cursor
        if !isFirst {
            guard begin < end, begin.pointee == UInt8(ascii: ",") else { return 0 }
            begin += 1
        }
        let run = Self.run(begin, end, target, count)
        if run.count > 0 {
            cursor = run.end
        }
        return run.count
    }

    /// A number and the character after it: what is looked at has to lie within the text.
    private static let window = 24

    /// The loop alone, for the processor's registers.
    @inline(never)
    private static func run<Element: TensorElement>(
        _ begin: UnsafePointer<UInt8>, _ end: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<Element>,
        _ count: Int
    ) -> (count: Int, end: UnsafePointer<UInt8>) {
        guard end - begin >= window else { return (0, begin) }
        let lastBegin = end - window
        var position = begin
        var next = target
        let limit = target + count
        var behindLast = begin
        while next < limit, position <= lastBegin {
            let size: Int
            // First what most elements are.
            if let decimal = PlainDecimal(position, canHaveFraction: Element.canHaveFraction) {
                guard let value = Element.value(of: decimal) else { break }
                next.pointee = value
                size = decimal.size
            } else if isWhitespace(position.pointee) {
                position += 1
                continue
            } else {
                size = long(position, next)
                guard size > 0 else { break }
            }
            let separator = position[size]
            if separator == UInt8(ascii: ",") {
                position += size
                behindLast = position
                position += 1
                next += 1
                continue
            }
            if separator == UInt8(ascii: "]") {
                behindLast = position + size
                next += 1
            }
            break
        }
        return (next - target, behindLast)
    }

    /// Stores an element of 16 to 23 characters, and returns their number; 0 when there is none.
    @inline(never)
    private static func long<Element: TensorElement>(
        _ text: UnsafePointer<UInt8>, _ target: UnsafeMutablePointer<Element>
    ) -> Int {
        guard let number = JSONNumber(long: text, canHaveFraction: Element.canHaveFraction),
            let value = Element.value(of: number)
        else { return 0 }
        target.pointee = value
        return number.textSize
    }

    @inline(__always)
    private static func isWhitespace(_ byte: UInt8) -> Bool {
        byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09
    }
}
