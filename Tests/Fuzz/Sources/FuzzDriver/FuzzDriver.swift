import CFuzzer
import Glibc

/// Runs libFuzzer over `oneInput` with the program's arguments, and ends the program with its exit code.
///
/// `oneInput` gets bytes that are its until it returns, and returns 0. It reports a finding by a failed `expect`.
public func fuzz(_ oneInput: @convention(c) (UnsafePointer<UInt8>?, Int) -> Int32) -> Never {
    var count = CommandLine.argc
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv
    exit(LLVMFuzzerRunDriver(&count, &arguments, oneInput))
}

/// What must hold for every input. Ends the program if it doesn't, upon which libFuzzer keeps the input.
public func expect(_ condition: Bool, _ promise: StaticString) {
    guard !condition else { return }
    let line = "broken promise: \(promise)\n"
    _ = write(STDERR_FILENO, line, line.utf8.count)
    abort()
}

/// Cuts of `count` bytes that follow from the input itself, so that a finding can be replayed: none, every byte, or
/// two places.
public func cuts(of count: Int, by data: UnsafePointer<UInt8>) -> [Int] {
    var hash: UInt64 = 0xCBF2_9CE4_8422_2325
    for index in 0..<count { hash = (hash ^ UInt64(data[index])) &* 0x100_0000_01B3 }
    if hash & 7 == 0, count < 512 { return Array(0..<count) }
    let places = [Int(hash >> 8 & 0xFFFF_FFFF) % (count + 1), Int(hash >> 40) % (count + 1)]
    return places.sorted()
}
