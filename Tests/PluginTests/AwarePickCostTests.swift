import Glibc
import SluiceABI
import Testing

/// What a pick costs: printed, not asserted, for a figure of a busy machine says nothing.
///
///     SLUICE_PICK_COST=1 swift test -c release -Xswiftc -enable-testing --filter AwarePickCost
@Suite(.enabled(if: getenv("SLUICE_PICK_COST") != nil)) struct AwarePickCostTests {
    /// The shortest of some runs, in nanoseconds a call.
    private func measure(_ calls: Int, _ body: () -> Void) -> Double {
        (0..<7).map { _ in
            var begin = timespec()
            var end = timespec()
            clock_gettime(CLOCK_MONOTONIC, &begin)
            for _ in 0..<calls { body() }
            clock_gettime(CLOCK_MONOTONIC, &end)
            let seconds = Double(end.tv_sec - begin.tv_sec) + Double(end.tv_nsec - begin.tv_nsec) / 1e9
            return seconds * 1e9 / Double(calls)
        }.min() ?? 0
    }

    /// A pool of that many endpoints, of which all are eligible.
    private func asked(_ pool: WatchedPool, _ texts: CTexts) -> sluice_pick {
        let bits = texts.array([UInt64](repeating: UInt64.max, count: (pool.count + 63) / 64))
        return sluice_pick(
            endpoints: pool.endpoints, count: UInt32(pool.count), attempt: 1, eligible: bits,
            eligible_count: UInt32(pool.count), now_ms: 0)
    }

    private func pool(_ count: Int) -> WatchedPool {
        WatchedPool((0..<count).map { "http://h\($0):1" }, inFlight: (0..<count).map { UInt32($0 % 7) })
    }

    @Test(arguments: [16, 1_000]) func ofQueueAware(_ count: Int) throws {
        let host = FakeHost()
        let pool = pool(count)
        let plugin = try LoadedPlugin("QueueAware")
        let table = try plugin.table(SLUICE_BALANCER_2, as: sluice_balancer_2.self)
        let instance = host.create(table.pointee.base, config: ["headers": ["queue": "x-queue"]]).instance
        table.pointee.on_endpoints(instance, pool.endpoints, UInt32(count))
        defer { table.pointee.base.destroy(instance) }
        let texts = CTexts()
        for index in 0..<count {
            var head = sluice_answer_head()
            head.endpoint = UInt32(index)
            head.fields = texts.array([sluice_field(name: texts.bytes("x-queue"), value: texts.bytes("\(index % 11)"))])
            head.field_count = 1
            table.pointee.on_head(instance, &head)
        }
        let exchange = FakeExchange()
        var asked = asked(pool, texts)
        let pick = table.pointee.pick
        let cost = measure(200_000) { _ = pick?(instance, exchange.handle, exchange.request, &asked) }
        print("QueueAware, \(count) endpoints: \(cost.rounded()) ns a pick")
    }

    @Test(arguments: [16, 1_000]) func ofPrefixAware(_ count: Int) throws {
        let host = FakeHost()
        let pool = pool(count)
        let plugin = try LoadedPlugin("PrefixAware")
        let table = try plugin.table(SLUICE_BALANCER, as: sluice_balancer.self)
        let instance = host.create(table.pointee.base).instance
        table.pointee.on_endpoints(instance, pool.endpoints, UInt32(count))
        defer { table.pointee.base.destroy(instance) }
        let texts = CTexts()
        var asked = asked(pool, texts)
        let pick = table.pointee.pick
        let plain = FakeExchange()
        let bare = measure(200_000) { _ = pick?(instance, plain.handle, plain.request, &asked) }
        print("PrefixAware, \(count) endpoints, no prompt: \(bare.rounded()) ns a pick")
        for size in [4_096, 16_384] {
            let exchange = FakeExchange()
            exchange.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
            exchange.request.pointee.payload.raw = exchange.texts.bytes(
                #"{"prompt":""# + String(repeating: "a", count: size) + #""}"#)
            let known = measure(20_000) { _ = pick?(instance, exchange.handle, exchange.request, &asked) }
            let blocks = Double(size / 256)
            let block = ((known - bare) / blocks).rounded()
            print("  \(size) bytes, hashed before: \(known.rounded()) ns, \(block) ns a block for look and note")
            // Two exchanges that share a place of the memory of hashes: each is hashed every time.
            let fresh = measure(2_000) {
                exchange.token &+= 256
                _ = pick?(instance, exchange.handle, exchange.request, &asked)
            }
            print("  \(size) bytes, new: \(fresh.rounded()) ns, \((fresh - known) / Double(size)) ns a byte to hash")
        }
    }
}
