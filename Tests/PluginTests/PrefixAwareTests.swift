import SluiceABI
import Testing

@Suite struct PrefixAwareTests {
    let host = FakeHost()
    private static let config: ConfigTree = ["block_bytes": 32, "imbalance": ["factor": 1.5, "absolute": 4]]

    /// An exchange of its own, whose request has a JSON body that was gathered.
    private func exchange(_ token: UInt64, _ body: String) -> FakeExchange {
        let exchange = FakeExchange("POST", "/v1/completions")
        exchange.token = token
        exchange.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_RAW)
        exchange.request.pointee.payload.raw = exchange.texts.bytes(body)
        return exchange
    }

    private func prompt(_ words: String...) -> String {
        #"{"model":"m","prompt":""# + words.map { String(repeating: $0 + " ", count: 16) }.joined() + #""}"#
    }

    private func pool(_ loads: [UInt32], eligible: Set<Int>? = nil) -> FakePool {
        FakePool(loads.map { (inFlight: $0, weight: 1) }, eligible: eligible)
    }

    private func balancer(
        _ pool: FakePool, _ config: ConfigTree = Self.config, worker: UInt32 = 0
    ) throws -> BalancerUnderTest {
        let made = try BalancerUnderTest("PrefixAware", host, config: config, worker: worker, workers: 2)
        made.table.pointee.on_endpoints(made.instance, pool.asked.endpoints, pool.asked.count)
        return made
    }

    @Test func aPromptGoesWhereItsBeginningWent() throws {
        let pool = pool([0, 0, 0, 0])
        let balancer = try balancer(pool)
        let first = balancer.pick(pool, exchange(1, prompt("be", "kind")))
        let other = balancer.pick(pool, exchange(2, prompt("be brief", "one")))
        #expect(other != first)
        for token in UInt64(10)..<20 {
            #expect(balancer.pick(pool, exchange(token, prompt("be", "kind", "\(token)"))) == first)
            #expect(balancer.pick(pool, exchange(token + 100, prompt("be brief", "one", "more"))) == other)
        }
        #expect(host.metric("cold_picks_total")?.value == 2)
        #expect(host.metric("warm_picks_total")?.value == 20)
    }

    @Test func workersAndGenerationsShareWhatIsWarm() throws {
        let pool = pool([0, 0, 0, 0])
        let first = try balancer(pool).pick(pool, exchange(1, prompt("shared")))
        for worker in [UInt32(0), 1] {
            #expect(try balancer(pool, worker: worker).pick(pool, exchange(2, prompt("shared"))) == first)
        }
    }

    /// An id tells the place and how many had it before: neighbours are not taken for each other.
    @Test func endpointsOfPlacesThatWereUsedBeforeAreToldApart() throws {
        let ids = (UInt64(0)..<3).flatMap { life in [UInt64(0), 1, 2, 16_383].map { life << 32 | $0 } }
        let pool = FakePool(
            ids.map { _ in (inFlight: 0, weight: 1) }, names: ids.indices.map { "10.0.0.\($0):80" }, ids: ids)
        let balancer = try balancer(pool)
        let first = ids.indices.map { balancer.pick(pool, exchange(UInt64($0 + 1), prompt("prompt \($0)"))) }
        #expect(Set(first).count == ids.count)
        let second = ids.indices.map { balancer.pick(pool, exchange(UInt64($0 + 100), prompt("prompt \($0)"))) }
        #expect(second == first)
    }

    @Test func aLargePoolIsComparedFromAnywhere() throws {
        let pool = FakePool(count: 1_000)
        let balancer = try balancer(pool)
        let picked = (0..<200).map { _ in balancer.pick(pool, FakeExchange()) }
        #expect(Set(picked).count > 100)
        #expect(picked.contains { $0 < 300 } && picked.contains { $0 >= 700 })
    }

    @Test func aCrowdedEndpointIsPassedOver() throws {
        let pool = pool([0, 0, 0, 0])
        let balancer = try balancer(pool)
        let warm = Int(balancer.pick(pool, exchange(1, prompt("popular"))))
        // Its share of 5 is 1.25, and 5 is less than 4 more than that.
        pool.setInFlight(warm, 5)
        #expect(balancer.pick(pool, exchange(2, prompt("popular"))) == UInt32(warm))
        pool.setInFlight(warm, 6)
        let next = balancer.pick(pool, exchange(3, prompt("popular")))
        #expect(next != UInt32(warm))
        #expect(host.metric("crowded_picks_total")?.value == 1)
        // The next is warm from then on.
        #expect(balancer.pick(pool, exchange(4, prompt("popular"))) == next)
        // Where all are as busy nobody is crowded.
        for index in 0..<4 { pool.setInFlight(index, 20) }
        #expect([UInt32(warm), next].contains(balancer.pick(pool, exchange(5, prompt("popular")))))
    }

    @Test func aShorterPrefixServesWhereTheLongOneCannot() throws {
        let all = pool([0, 0, 0, 0])
        let balancer = try balancer(all)
        let short = balancer.pick(all, exchange(1, prompt("system")))
        // The whole prompt is warm elsewhere only, which then cannot be taken.
        let others = Set(0..<4).subtracting([Int(short)])
        let elsewhere = pool([0, 0, 0, 0], eligible: others)
        let long = balancer.pick(elsewhere, exchange(2, prompt("system", "question")))
        #expect(long != short)
        #expect(balancer.pick(all, exchange(3, prompt("system", "question", "more"))) == long)
        let without = pool([0, 0, 0, 0], eligible: Set(0..<4).subtracting([Int(long)]))
        #expect(balancer.pick(without, exchange(4, prompt("system", "question", "more"))) == short)
    }

    @Test func withoutABodyItIsLeastRequest() throws {
        let pool = pool([2, 1, 3])
        let balancer = try balancer(pool)
        let streaming = FakeExchange("POST", "/v1/completions")
        streaming.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_STREAM)
        for _ in 0..<3 { #expect(balancer.pick(pool, streaming) == 1) }
        #expect(balancer.pick(pool, exchange(2, #"{"prompt":"short"}"#)) == 1)
        #expect(balancer.pick(pool, exchange(3, #"{"inputs":[]}"#)) == 1)
        #expect(host.metric("unread_picks_total")?.value == 5)
    }

    @Test func textsOfTensorsArePrompts() throws {
        let pool = pool([0, 0, 0, 0])
        let balancer = try balancer(pool)
        func exchange(_ token: UInt64, _ text: String) -> FakeExchange {
            let exchange = FakeExchange()
            exchange.token = token
            var tensor = sluice_tensor()
            tensor.datatype = UInt32(SLUICE_DATATYPE_BYTES)
            let size = UInt32(text.utf8.count)
            tensor.data = exchange.texts.bytes((0..<4).map { UInt8(size >> ($0 * 8) & 0xFF) } + Array(text.utf8))
            exchange.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
            exchange.request.pointee.payload.tensors = exchange.texts.array([tensor])
            exchange.request.pointee.payload.tensor_count = 1
            return exchange
        }
        let text = String(repeating: "tokens ", count: 20)
        let first = balancer.pick(pool, exchange(1, text))
        // Its length, which stands before it, is another.
        for token in UInt64(2)..<6 { #expect(balancer.pick(pool, exchange(token, text + "and more")) == first) }
    }

    /// A retry and a request that waits are picked for again: the prompt is hashed once.
    @Test func hashesStayWithTheExchange() throws {
        let pool = pool([0, 0])
        let balancer = try balancer(pool)
        let exchange = exchange(1, prompt("again"))
        _ = balancer.pick(pool, exchange)
        let allocated = exchange.allocated
        #expect(allocated > 0)
        _ = balancer.pick(pool, exchange)
        #expect(exchange.allocated == allocated)
    }

    @Test func theTableForgetsWhatIsOldest() throws {
        let pool = pool([0, 0, 0, 0, 0, 0, 0, 0])
        let balancer = try balancer(pool, ["block_bytes": 32, "entries": 1_024])
        let first = exchange(1, prompt("first"))
        _ = balancer.pick(pool, first)
        // Each has blocks of its own: together several times what the table holds.
        for token in UInt64(2)..<1_500 {
            let exchange = exchange(token, prompt("\(token) of them"))
            exchange.request.pointee.received_ns = 1 << 40
            _ = balancer.pick(pool, exchange)
        }
        let before = host.metric("cold_picks_total")?.value ?? 0
        _ = balancer.pick(pool, first)
        #expect(host.metric("cold_picks_total")?.value == before + 1)
    }

    @Test func theFilterOnlyWantsTheBody() throws {
        let table = try LoadedPlugin("PrefixAware").table(SLUICE_FILTER, as: sluice_filter.self)
        let made = host.create(table.pointee.base, config: Self.config)
        let instance = try #require(made.instance)
        defer { table.pointee.base.destroy(instance) }
        #expect(table.pointee.needs(instance) == UInt32(SLUICE_FILTER_REQUEST_BODY))
        let exchange = exchange(1, prompt("x"))
        var answer = sluice_response()
        #expect(table.pointee.on_request(instance, exchange.handle, exchange.request, &answer) == SLUICE_OK)
    }

    /// Whoever keeps a block for each pool reaches the host's bound some day, and is told what to do.
    @Test func moreStateThanTheHostKeepsIsRefusedWithAdvice() throws {
        for index in 0..<256 { #expect(host.stateBlock("pool \(index)", 64) != nil) }
        let table = try LoadedPlugin("PrefixAware").table(SLUICE_BALANCER, as: sluice_balancer.self)
        let made = host.create(table.pointee.base, config: Self.config, model: "m", version: "1")
        #expect(made.status == SLUICE_RESOURCE_EXHAUSTED)
        #expect(host.failure.contains("a second entry of this plugin, or restart the gateway"), "\(host.failure)")
    }

    private static let wrong: [(config: ConfigTree, path: String)] = [
        (["block_byte": 1], "block_byte"), (["block_bytes": 33], "block_bytes"),
        (["block_bytes": 16], "block_bytes"), (["fields": []], "fields"), (["fields": [""]], "fields[0]"),
        (["min_blocks": 65], "min_blocks"), (["entries": 1], "entries"),
        (["imbalance": ["factor": 0.5]], "imbalance.factor"), (["imbalance": ["facto": 2]], "imbalance.facto"),
    ]

    @Test(arguments: wrong)
    func wrongKeysAreTold(_ config: ConfigTree, _ path: String) throws {
        let table = try LoadedPlugin("PrefixAware").table(SLUICE_BALANCER, as: sluice_balancer.self)
        #expect(host.create(table.pointee.base, config: config).status == SLUICE_INVALID_ARGUMENT)
        #expect(host.configurationErrors.map(\.path) == [path])
    }
}
