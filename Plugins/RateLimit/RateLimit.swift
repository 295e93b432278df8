import OpenAICodec
import RateLimitBuckets
import SluiceJSON
import SluicePlugin

/// Lets pass so many requests, or so many tokens, in a time, for each tenant, key, model or client: token buckets that
/// all workers share and that outlive a reload, exact to the request.
///
///     config:
///       limits:
///         - { name: clients, by: peer, requests: 100, per: minute, burst: 20 }
///         - { name: tokens, by: [ tenant, model ], tokens: 100000, per: hour }
struct RateLimit: Filter, ~Copyable {
    static let plugin = PluginDescription(
        name: "rate-limit", version: "0.1.0", vendor: "Sluice", licence: "Apache-2.0")

    private let host: Host
    private let limits: [Limit]
    private let state: SharedState
    private let ledger: Ledger
    private let whenFull: Options.WhenFull
    private let fields: Options.Fields
    /// For the field RateLimit-Policy.
    private let policies: KeptText
    private let countsTokens: Bool
    private let noRoom: Counter
    private let unmetered: Counter?
    private let untold: Counter?
    /// On the first worker of a gateway in a fleet; kept for its timer.
    private let housekeeping: FleetHousekeeping?
    /// Beyond its bound an answer's tokens are those that were taken beforehand.
    private let spendings: ExchangeTable<Spending>

    init(_ context: Context) throws(PluginError) {
        let options = try Options(context.config)
        let state = try SharedState(context.state, buckets: options.maxBuckets, fleet: options.fleet?.key(context))
        var limits: [Limit] = []
        for node in options.limits {
            let limit = try Limit(
                node, of: context.name, number: limits.count, state, inFleet: options.fleet != nil,
                isShadow: options.isShadow, context.metrics)
            if limits.contains(where: { String($0.name) == String(limit.name) }) {
                throw (node["name"].isNull ? node : node["name"]).error(
                    "two limits are named '\(String(limit.name))'; rename one")
            }
            limits.append(limit)
        }
        let countsTokens = limits.contains { $0.isOfTokens }
        let noRoom = try context.metrics.counter(
            "no_room_total", "Requests for whose bucket there was no room; is max_buckets large enough?")
        var unmetered: Counter?
        if countsTokens {
            unmetered = try context.metrics.counter(
                "unmetered_answers_total", "Answers that did not say how many tokens they took.")
        }
        var ring: ChargeRing?
        var untold: Counter?
        var housekeeping: FleetHousekeeping?
        if let fleet = options.fleet {
            let counter = try context.metrics.counter(
                "untold_charges_total", "Charges that the fleet did not learn of, for want of room.")
            untold = counter
            let worker = context.worker ?? 0
            ring = try SharedState.ring(context.state, worker: worker)
            if worker == 0 {
                var rings: [ChargeRing] = []
                for index in 0..<context.workerCount {
                    rings.append(try SharedState.ring(context.state, worker: index))
                }
                let turn = try context.state.counters("turn", count: 1)
                let sync = FleetSync.of(fleet, state, rings, turn: turn)
                housekeeping = try FleetHousekeeping(context, fleet, sync, untold: counter)
                housekeeping?.begin()
            }
        }

        // Nothing throws from here on: what is not copyable is made in one go.
        host = context.host
        self.limits = limits
        ledger = Ledger(state.table, ring)
        self.state = state
        whenFull = options.whenFull
        fields = options.fields
        policies = KeptText(limits.filter { !$0.isShadow }.map { String($0.policy) }.joined(separator: ", "))
        self.countsTokens = countsTokens
        self.noRoom = noRoom
        self.unmetered = unmetered
        self.untold = untold
        self.housekeeping = housekeeping
        spendings = ExchangeTable()
    }

    var needs: FilterNeeds { countsTokens ? .chunks : [] }

    // MARK: Requests

    /// What became of one limit of a request.
    private struct Look: BitwiseCopyable {
        /// 0: the limit is not about this request, or has no room for it.
        var key: UInt64 = 0
        /// Nanoseconds until the bucket is full.
        var ahead: UInt64 = 0
        var isTaken = false
        /// By a limit on trial.
        var isRefused = false
    }

    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        // An exchange whose client left leaves its note behind, and tokens come again in the end: the note would be of
        // memory that is gone.
        if countsTokens { spendings.remove(exchange.suspension.token) }
        let now = host.clock.monotonic
        let looks = try exchange.allocateZeroed(Look.self, count: limits.count)
        var refusing = -1
        var longest = -1
        var wait: UInt64 = 0
        for index in limits.indices where try limits[index].applies(to: request.request, exchange) {
            let key = limits[index].key(of: request.request, exchange)
            // Once one has refused, the others only say how long they would.
            let cost = refusing < 0 ? limits[index].cost : 0
            let outcome = ledger.take(
                key, cost: cost, need: limits[index].need, tolerance: limits[index].rate.tolerance,
                isShared: limits[index].isShared, now: now)
            if !outcome.isTold { untold?.add() }
            switch outcome.verdict {
            case .passed(let left):
                looks[index] = Look(key: key, ahead: limits[index].rate.tolerance &- left, isTaken: cost > 0)
            case .refused(let time, let ahead):
                looks[index] = Look(key: key, ahead: ahead)
                if limits[index].isShadow {
                    looks[index].isRefused = true
                    if refusing < 0 { limits[index].limited.add() }
                } else {
                    if refusing < 0 { refusing = index }
                    if time > wait { (wait, longest) = (time, index) }
                }
            case .noRoom:
                noRoom.add()
                if whenFull == .refuse, refusing < 0, !limits[index].isShadow {
                    refusing = index
                    if wait == 0 { (wait, longest) = (1, index) }
                }
            }
        }
        if refusing >= 0 {
            limits[refusing].limited.add()
            throw refuse(exchange, looks, until: longest, wait, now)
        }
        for index in limits.indices where looks[index].key != 0 && !looks[index].isRefused {
            limits[index].allowed.add()
        }
        if fields == .always { tell(exchange, looks) }
        if countsTokens { watch(exchange, looks) }
        return .pass
    }

    private func refuse(
        _ exchange: Exchange, _ looks: MutableView<Look>, until limit: Int, _ wait: UInt64, _ now: UInt64
    ) -> PluginError {
        for index in limits.indices where looks[index].isTaken {
            let isTold = ledger.giveBack(
                looks[index].key, limits[index].cost, isShared: limits[index].isShared, now: now)
            if !isTold { untold?.add() }
            looks[index].ahead &-= limits[index].cost
        }
        if fields != .never { tell(exchange, looks) }
        let seconds = max(Rate.seconds(wait), 1)
        var text = exchange.writer(capacity: 24)
        text.append(decimal: seconds)
        if let text = try? text.finish() { try? exchange.setField(.response, Bytes("Retry-After"), text) }
        return exchange.error(.resourceExhausted) { writer in
            writer.append("the limit \"")
            limits[limit].name.withBytes { writer.append($0) }
            writer.append("\" is reached; try again in ")
            writer.append(decimal: seconds)
            writer.append(" s")
        }
    }

    /// RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10): of each limit that was looked at what
    /// is left and the seconds until its bucket is full. Without room for the fields the answer goes without them.
    private func tell(_ exchange: Exchange, _ looks: MutableView<Look>) {
        var writer = exchange.writer(capacity: 128)
        var isFirst = true
        for index in limits.indices where looks[index].key != 0 && !limits[index].isShadow {
            if !isFirst { writer.append(", ") }
            isFirst = false
            writer.append("\"")
            limits[index].name.withBytes { writer.append($0) }
            writer.append("\";r=")
            let (ahead, tolerance) = (looks[index].ahead, limits[index].rate.tolerance)
            writer.append(decimal: limits[index].rate.units(tolerance &- min(ahead, tolerance)))
            writer.append(";t=")
            writer.append(decimal: Rate.seconds(ahead))
        }
        guard !isFirst, let value = try? writer.finish() else { return }
        // Beside what other entries of this plugin say, and the endpoint of limits of its own: both fields are lists.
        try? exchange.addField(.response, Bytes("RateLimit"), value)
        try? policies.withBytes { bytes throws(PluginError) in
            try exchange.addField(.response, Bytes("RateLimit-Policy"), bytes)
        }
    }

    // MARK: Tokens

    /// Remembers which buckets the answer's tokens are for.
    private func watch(_ exchange: Exchange, _ looks: MutableView<Look>) {
        var count = 0
        for index in limits.indices where limits[index].isOfTokens && looks[index].key != 0 { count += 1 }
        guard count > 0,
            let charges = try? exchange.arena.allocate(Spending.Charge.self, count: count),
            let spending = try? exchange.arena.allocate(Spending.self, count: 1)
        else { return }
        count = 0
        for index in limits.indices where limits[index].isOfTokens && looks[index].key != 0 {
            (charges + count).initialize(
                to: Spending.Charge(
                    limit: index, key: looks[index].key, taken: looks[index].isTaken ? limits[index].reserve : 0))
            count += 1
        }
        spending.initialize(to: Spending(charges: charges, count: count))
        spendings.insert(exchange.suspension.token, spending, now: host.clock.monotonic)
        // What is compressed cannot be read as it goes by.
        if exchange.header("accept-encoding") != nil {
            try? exchange.setField(.request, Bytes("Accept-Encoding"), Bytes("identity"))
        }
    }

    mutating func onResponse(
        _ response: MutableResponse, to request: Request, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        guard countsTokens else { return .pass }
        let token = exchange.suspension.token
        guard let spending = spending(of: exchange) else { return .pass }
        let message = response.response.message
        let status = message?.status ?? response.httpStatus
        guard status == 0 || (200...299).contains(status) else {
            // An error takes no tokens.
            let outcome = spending.pointee.giveBack(limits, ledger, now: host.clock.monotonic)
            if outcome.isUntold { untold?.add() }
            spendings.remove(token)
            return .pass
        }
        guard let message, Self.isPlain(message), let contentType = message.field("content-type"),
            let watch = UsageWatch(contentType: contentType.raw)
        else {
            unmetered?.add()
            spending.pointee.countTaken(limits)
            spendings.remove(token)
            return .pass
        }
        spending.pointee.watch = watch
        // What streams is settled by its chunks.
        if message.bodyState == .streaming { return .pass }
        // Of an answer that was kept the payload is all that there is.
        let body = message.bodyState == .whole ? message.body : response.response.payload.raw
        if body.isEmpty {
            if spending.pointee.giveBack(limits, ledger, now: host.clock.monotonic).isUntold { untold?.add() }
        } else {
            settle(spending, body, isWhole: true)
        }
        spendings.remove(token)
        return .pass
    }

    mutating func onChunk(_ chunk: Bytes, side: Side, exchange: Exchange) throws(PluginError) {
        guard side == .response, countsTokens else { return }
        let token = exchange.suspension.token
        guard let spending = spending(of: exchange) else { return }
        if settle(spending, chunk, isWhole: false) { spendings.remove(token) }
    }

    static var hearsErrors: Bool { true }

    /// Nobody has answered, so nothing was used.
    mutating func onError(_ error: ErrorCode, exchange: Exchange) {
        guard countsTokens, let spending = spending(of: exchange) else { return }
        if spending.pointee.giveBack(limits, ledger, now: host.clock.monotonic).isUntold { untold?.add() }
        spendings.remove(exchange.suspension.token)
    }

    /// What an answer has cost when it is broken off, it costs.
    mutating func onCancel(exchange: Exchange) {
        guard countsTokens, let spending = spending(of: exchange) else { return }
        spending.pointee.countTaken(limits)
        if let watch = spending.pointee.watch, watch.seen.isZero { unmetered?.add() }
        spendings.remove(exchange.suspension.token)
    }

    private func spending(of exchange: Exchange) -> UnsafeMutablePointer<Spending>? {
        spendings.find(exchange.suspension.token, now: host.clock.monotonic)
    }

    /// True when nothing more will come of it.
    @discardableResult
    private func settle(_ spending: UnsafeMutablePointer<Spending>, _ bytes: Bytes, isWhole: Bool) -> Bool {
        let outcome = spending.pointee.feed(
            bytes, isWhole: isWhole, limits, ledger, now: host.clock.monotonic)
        if outcome.isUntold { untold?.add() }
        if outcome.lacksRoom { noRoom.add() }
        if outcome.isFinished, outcome.isUnmetered { unmetered?.add() }
        return outcome.isFinished
    }

    private static func isPlain(_ message: Message) -> Bool {
        guard let encoding = message.field("content-encoding") else { return true }
        return encoding.isEmpty || encoding.equalsIgnoringCase("identity")
    }
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> PluginEntry { export(host, RateLimit.self) }
