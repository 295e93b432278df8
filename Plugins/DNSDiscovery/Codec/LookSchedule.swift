/// When to look again: after as long as an answer holds, or soon after one that failed. Pure.
public struct LookSchedule: Sendable {
    /// Seconds between two looks, whatever the servers say.
    public var least: UInt32
    public var most: UInt32
    /// Seconds between two looks that fail, at most.
    public var retryAtMost: UInt32
    private(set) var failures = 0

    public init(least: UInt32, most: UInt32, retryAtMost: UInt32) {
        self.least = least
        self.most = most
        self.retryAtMost = retryAtMost
    }

    /// Milliseconds until the next look after an answer that holds for `ttl` seconds.
    public mutating func succeeded(ttl: UInt32) -> Int {
        failures = 0
        return held(ttl)
    }

    /// Milliseconds until the next look after one of which only a part failed: when that is to be asked again, and no
    /// later than what was answered ends.
    ///
    /// - Parameters:
    ///   - ttl: of what was answered.
    ///   - random: from 0 to 1.
    public mutating func partlyFailed(ttl: UInt32, random: Double) -> Int { min(failed(random: random), held(ttl)) }

    private func held(_ ttl: UInt32) -> Int { Int(min(max(ttl, least), most)) * 1_000 }

    /// Milliseconds until the next look after one that failed: a second, twice as long each time, less up to a half, so
    /// that gateways that lost the same server do not all come back at once.
    ///
    /// - Parameter random: from 0 to 1.
    public mutating func failed(random: Double) -> Int {
        let longest = Double(min(1 << min(failures, 20), Int(retryAtMost))) * 1_000
        failures += 1
        return Int(longest * (1 - min(max(random, 0), 1) / 2))
    }
}
