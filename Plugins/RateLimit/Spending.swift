import OpenAICodec
import RateLimitBuckets
import SluicePlugin

/// The tokens of one answer while it goes by, and the buckets that they are charged to: in the exchange's arena.
///
/// What is charged follows what is known. Before the answer it is the limit's `reserve`. Of an answer that streams each
/// event counts as a token, since servers send about one with each, and most say the sums with the last event alone, if
/// they were asked to. As soon as the answer says its usage that counts, and what was taken too much is given back when
/// it ends. So the buckets need nothing at the end of an answer that never says anything: it has been charged.
struct Spending: BitwiseCopyable {
    struct Charge: BitwiseCopyable {
        let limit: Int
        let key: UInt64
        /// Tokens that the bucket was charged for.
        var taken: UInt64
        /// Tokens that were counted.
        var counted: UInt64 = 0

        init(limit: Int, key: UInt64, taken: UInt64) {
            self.limit = limit
            self.key = key
            self.taken = taken
        }
    }

    struct Outcome {
        var isFinished: Bool
        /// The answer does not say its usage.
        var isUnmetered: Bool
        var lacksRoom = false
        /// The fleet does not learn of it all.
        var isUntold = false
    }

    /// Nil before the answer's head has come.
    var watch: UsageWatch?
    private let charges: UnsafeMutablePointer<Charge>
    private let count: Int

    init(charges: UnsafeMutablePointer<Charge>, count: Int) {
        self.charges = charges
        self.count = count
    }

    /// More of the answer, or all of it.
    mutating func feed(
        _ bytes: Bytes, isWhole: Bool, _ limits: [Limit], _ ledger: Ledger, now: UInt64
    ) -> Outcome {
        guard var watch else { return Outcome(isFinished: true, isUnmetered: false) }
        watch.feed(bytes.raw)
        self.watch = watch
        let usage = watch.seen
        var outcome = Outcome(isFinished: isWhole || watch.isFinished, isUnmetered: usage.isZero)
        for index in 0..<count {
            guard case .tokens(let kind) = limits[charges[index].limit].unit else { continue }
            let told = kind.count(usage)
            let taken = charges[index].taken
            let wanted =
                usage.isZero
                ? max(taken, kind == .prompt ? 0 : watch.events) : outcome.isFinished ? told : max(taken, told)
            let (rate, isShared) = (limits[charges[index].limit].rate, limits[charges[index].limit].isShared)
            let key = charges[index].key
            if wanted > taken {
                let charged = ledger.charge(key, rate.cost(wanted &- taken), isShared: isShared, now: now)
                if !charged.hasRoom { outcome.lacksRoom = true }
                if !charged.isTold { outcome.isUntold = true }
            } else if wanted < taken {
                let isTold = ledger.giveBack(key, rate.cost(taken &- wanted), isShared: isShared, now: now)
                if !isTold { outcome.isUntold = true }
            }
            charges[index].taken = wanted
            let sure = usage.isZero ? (outcome.isFinished ? wanted : 0) : told
            if sure > charges[index].counted {
                limits[charges[index].limit].tokens?.add(Double(sure &- charges[index].counted))
                charges[index].counted = sure
            }
        }
        return outcome
    }

    /// Nothing more will be known of the answer: it was charged what it was charged.
    mutating func countTaken(_ limits: [Limit]) {
        for index in 0..<count where charges[index].taken > charges[index].counted {
            limits[charges[index].limit].tokens?.add(Double(charges[index].taken &- charges[index].counted))
            charges[index].counted = charges[index].taken
        }
    }

    /// The answer took nothing.
    mutating func giveBack(_ limits: [Limit], _ ledger: Ledger, now: UInt64) -> Outcome {
        var outcome = Outcome(isFinished: true, isUnmetered: false)
        for index in 0..<count where charges[index].taken > 0 {
            let limit = charges[index].limit
            let cost = limits[limit].rate.cost(charges[index].taken)
            let isTold = ledger.giveBack(charges[index].key, cost, isShared: limits[limit].isShared, now: now)
            if !isTold { outcome.isUntold = true }
            charges[index].taken = 0
        }
        return outcome
    }
}
