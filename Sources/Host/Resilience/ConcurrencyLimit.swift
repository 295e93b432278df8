import Glibc

/// What was seen of a pool in one window.
public struct ConcurrencyWindow: Sendable {
    /// All answers' times together, nanoseconds.
    public var time: UInt64
    public var answers: UInt32
    /// Attempts that timed out, or were refused for overload.
    public var drops: UInt32
    /// At one time.
    public var mostUnderWay: UInt32

    public init(time: UInt64, answers: UInt32, drops: UInt32, mostUnderWay: UInt32) {
        self.time = time
        self.answers = answers
        self.drops = drops
        self.mostUnderWay = mostUnderWay
    }
}

/// How many requests a pool may have under way, found out from how long answers take: when more requests make only
/// longer queues at the endpoints, answers become slower, and the limit sinks.
///
/// The two estimates are those of Netflix's concurrency-limits (github.com/Netflix/concurrency-limits:
/// `Gradient2Limit`, `VegasLimit`), the latter after TCP Vegas (L. Brakmo, L. Peterson: TCP Vegas, IEEE JSAC 13(8),
/// 1995). A value that one thread owns; trivial. Times are nanoseconds of a monotonic clock.
public struct ConcurrencyLimit: Sendable {
    public let settings: ConcurrencyLimitSettings
    private var estimate: Double

    // What the present window has seen.
    private var windowEnd: UInt64 = 0
    private var time: UInt64 = 0
    private var answers: UInt32 = 0
    private var samples: UInt32 = 0
    private var mostInFlight: UInt32 = 0
    private var sawDrop = false

    /// Gradient: the mean over a long time, and windows that it is made of while they are few.
    private var longTime: Double = 0
    private var longCount: UInt32 = 0
    /// Vegas: the least time, and windows until it is measured anew.
    private var leastTime: Double = 0
    private var windowsToProbe: Double = 0

    /// Windows whose plain mean begins the long time.
    private static let warmUp: UInt32 = 10

    public init(_ settings: ConcurrencyLimitSettings) {
        self.settings = settings
        estimate = Double(min(max(settings.initial, settings.minimum), max(settings.maximum, settings.minimum)))
    }

    /// Requests that may be under way, 1 and more.
    public var limit: Int { max(Int(estimate), 1) }

    /// An attempt has ended that took `time`, while `inFlight` were under way, itself counted. `dropped` says that the
    /// pool had too much: it timed out, or was refused for overload; its time then says nothing. `random`: 64 random
    /// bits. True when the limit may have changed.
    public mutating func record(
        time attempt: UInt64, inFlight: UInt32, dropped: Bool, now: UInt64, random: UInt64
    ) -> Bool {
        guard settings.algorithm != .fixed else { return false }
        if windowEnd == 0 { windowEnd = now &+ settings.window }
        samples &+= 1
        if dropped {
            sawDrop = true
        } else {
            time &+= attempt
            answers &+= 1
        }
        mostInFlight = max(mostInFlight, inFlight)
        guard now >= windowEnd, samples >= settings.minimumSamples else { return false }
        close(
            ConcurrencyWindow(
                time: time, answers: answers, drops: sawDrop ? 1 : 0, mostUnderWay: mostInFlight),
            random: random)
        windowEnd = now &+ settings.window
        (time, answers, samples, mostInFlight, sawDrop) = (0, 0, 0, 0, false)
        return true
    }

    /// Moves the limit by what a window has seen, for who gathers that elsewhere.
    public mutating func close(_ window: ConcurrencyWindow, random: UInt64) {
        guard settings.algorithm != .fixed else { return }
        let mean = window.answers > 0 ? Double(window.time) / Double(window.answers) : 0
        sawDrop = window.drops > 0
        let next =
            settings.algorithm == .gradient2
            ? gradient(mean, inFlight: window.mostUnderWay)
            : vegas(mean, inFlight: window.mostUnderWay, random: random)
        let least = Double(settings.minimum)
        estimate = min(max(next, least), max(Double(settings.maximum), least))
    }

    private mutating func gradient(_ mean: Double, inFlight: UInt32) -> Double {
        if sawDrop { return estimate * settings.backoff }
        guard mean > 0 else { return estimate }
        if longCount < Self.warmUp {
            longCount += 1
            longTime += (mean - longTime) / Double(longCount)
        } else {
            longTime += (mean - longTime) * 2 / (Double(settings.longWindow) + 1)
        }
        // After a long time of overload the mean is the overload's: it must come down faster than it went up.
        if longTime > 2 * mean { longTime *= 0.95 }
        // A pool that is half idle shows nothing about its limit.
        guard Double(inFlight) >= estimate / 2 else { return estimate }
        let gradient = min(max(settings.tolerance * longTime / mean, 0.5), 1)
        let target = estimate * gradient + Double(settings.queueSize)
        return estimate * (1 - settings.smoothing) + target * settings.smoothing
    }

    private mutating func vegas(_ mean: Double, inFlight: UInt32, random: UInt64) -> Double {
        // Steps are the logarithm of the limit: small limits move by one, large ones not by much more.
        let step = max(log10(estimate), 1)
        if sawDrop { return estimate - step }
        guard mean > 0 else { return estimate }
        windowsToProbe -= 1
        if leastTime == 0 || windowsToProbe <= 0 || mean < leastTime {
            if leastTime == 0 || windowsToProbe <= 0 {
                // Half of it and all: the gateways of a fleet do not probe in step.
                windowsToProbe = estimate * Double(settings.probeMultiplier) * (0.5 + Draw.unit(random) / 2)
            }
            leastTime = mean
            return estimate
        }
        guard Double(inFlight) >= estimate / 2 else { return estimate }
        // Requests that wait at the endpoints instead of being served (Little's law).
        let queued = (estimate * (1 - leastTime / mean)).rounded(.up)
        if queued <= step { return estimate + 6 * step }
        if queued < 3 * step { return estimate + step }
        if queued > 6 * step { return estimate - step }
        return estimate
    }
}
