import SluicePlugin

/// What became of copies. Of one instance, and so of one worker.
final class ShadowCounts {
    struct One {
        let copied: Counter
        /// Not copied, by the reason.
        let busy: Counter
        let body: Counter
        let unfit: Counter
        /// The copy had no answer.
        let failed: Counter
        /// Both were answered.
        let compared: Counter
        let differentStatus: Counter
        let differentBody: Counter
        let originalSeconds: Histogram
        let copySeconds: Histogram
    }

    let shadows: [One]
    /// Of all shadows: copies that were sent, whose end was told, and that ended with their request.
    private var sent = 0
    private var copiesEnded = 0
    private var pairsEnded = 0
    /// Copies under way. What has ended with its request was told of before, but by a gateway that tells of both alone.
    var inFlight: Int { sent - max(copiesEnded, pairsEnded) }

    init(_ names: [String], _ context: Context) throws(PluginError) {
        var shadows: [One] = []
        for name in names { shadows.append(try Self.one(name, context)) }
        self.shadows = shadows
    }

    private static func one(_ name: String, _ context: Context) throws(PluginError) -> One {
        let metrics = context.metrics
        func skipped(_ reason: String) throws(PluginError) -> Counter {
            try metrics.counter(
                "skipped", "Requests that were to be copied and were not, by the reason.",
                labels: [("shadow", name), ("reason", reason)])
        }
        func difference(_ kind: String) throws(PluginError) -> Counter {
            try metrics.counter(
                "differences", "Compared answers that differ, by what.", labels: [("shadow", name), ("in", kind)])
        }
        func seconds(_ role: String) throws(PluginError) -> Histogram {
            try metrics.histogram(
                "first_byte_seconds", "From the begin of an attempt to the first byte of its answer.",
                labels: [("shadow", name), ("role", role)])
        }
        let label = [("shadow", name)]
        return One(
            copied: try metrics.counter("copies", "Requests that were copied.", labels: label),
            busy: try skipped("in_flight"), body: try skipped("body"), unfit: try skipped("unfit"),
            failed: try metrics.counter("failures", "Copies without an answer.", labels: label),
            compared: try metrics.counter("compared", "Copies whose request was answered, too.", labels: label),
            differentStatus: try difference("status"), differentBody: try difference("body"),
            originalSeconds: try seconds("original"), copySeconds: try seconds("copy"))
    }

    func sent(_ index: Int) {
        sent += 1
        shadows[index].copied.add()
    }

    func copyEnded() { copiesEnded += 1 }

    func ended(_ index: Int, _ outcome: ShadowOutcome) {
        pairsEnded += 1
        let shadow = shadows[index]
        let (original, copy) = (outcome.original, outcome.copy)
        guard copy.httpStatus != 0 else {
            // The gateway has given it up, at a reload or its end: that says nothing of who was asked.
            if copy.error != .cancelled { shadow.failed.add() }
            return
        }
        // A client that left, or an error of the gateway's, is no answer to compare with.
        guard original.firstByte > 0, original.error != .cancelled else { return }
        shadow.compared.add()
        shadow.originalSeconds.observe(Double(original.firstByte) / 1e9)
        shadow.copySeconds.observe(Double(copy.firstByte) / 1e9)
        // gRPC says in its own status what HTTP says in a class.
        if original.httpStatus != copy.httpStatus || original.error != copy.error {
            shadow.differentStatus.add()
        } else if let left = original.bodyHash, let right = copy.bodyHash, left != right {
            shadow.differentBody.add()
        }
    }
}
