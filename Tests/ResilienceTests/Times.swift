let millisecond: UInt64 = 1_000_000
let second: UInt64 = 1_000_000_000
/// What a breaker's and a probe's time is rounded up by.
let tick: UInt64 = 1 << 20
