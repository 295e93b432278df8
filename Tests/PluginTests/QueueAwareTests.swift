import SluiceABI
import Testing

@Suite struct QueueAwareTests {
    let host = FakeHost()
    let exchange = FakeExchange()

    @Test func theShortestQueueOfOrcaWins() throws {
        let pool = WatchedPool(["http://a:1", "http://b:1", "http://c:1"], inFlight: [1, 1, 1])
        let balancer = try Watcher(host, ["headers": ["orca": true]], pool)
        balancer.answer(0, [("Endpoint-Load-Metrics", "TEXT named_metrics.queue_depth=4")])
        balancer.answer(1, [("endpoint-load-metrics", #"JSON {"named_metrics":{"queue_depth":2}}"#)])
        balancer.answer(2, [("endpoint-load-metrics", "queue_depth:3")])
        for _ in 0..<4 { #expect(balancer.pick() == 1) }
        // What was sent since counts as what waits.
        pool.setInFlight(1, 3)
        #expect(balancer.pick() == 2)
    }

    @Test func aFullCacheWeighsAsAQueueDoes() throws {
        let pool = WatchedPool(["http://a:1", "http://b:1"], inFlight: [0, 3])
        let balancer = try Watcher(host, ["headers": ["queue": "x-queue", "cache": "x-cache"]], pool)
        balancer.answer(0, [("x-cache", "0.95"), ("x-queue", "0")])
        balancer.answer(1, [("x-cache", "0.1"), ("x-queue", "0")])
        // 1 / (1 - 0.9 * 0.95) = 6.9 against 4 / (1 - 0.9 * 0.1) = 4.4
        #expect(balancer.pick() == 1)
        // The queue alone is told now, and the cache is still known.
        balancer.answer(0, [("x-queue", "0")])
        #expect(balancer.pick() == 1)
        balancer.answer(0, [("x-cache", "0.05")])
        #expect(balancer.pick() == 0)
    }

    @Test func reportsAge() throws {
        let pool = WatchedPool(["http://a:1", "http://b:1"], inFlight: [2, 1])
        let balancer = try Watcher(host, ["headers": ["queue": "x-queue"], "max_age_ms": 1_000], pool)
        balancer.answer(0, [("x-queue", "0")])
        balancer.answer(1, [("x-queue", "50")])
        #expect(balancer.pick() == 0)
        host.advance(by: 1_000_000_000)
        #expect(balancer.pick() == 0)
        #expect(host.metric("blind_picks_total")?.value == 0)
        host.advance(by: 1_000_000)
        // Least request.
        #expect(balancer.pick() == 1)
        #expect(host.metric("blind_picks_total")?.value == 1)
    }

    @Test func whoHasToBeAskedStandsForTheBest() throws {
        let pool = WatchedPool(["http://a:1", "http://b:1", "http://c:1"], inFlight: [0, 0, 0])
        let balancer = try Watcher(host, ["headers": ["queue": "x-queue"]], pool)
        balancer.answer(0, [("x-queue", "2")])
        balancer.answer(1, [("x-queue", "10")])
        // 3 and 11, and 1 + 2 of the one to be heard of.
        #expect(balancer.pick() == 2)
        pool.setInFlight(2, 1)
        #expect(balancer.pick() == 0)
        balancer.answer(2, [("x-queue", "12")])
        pool.setInFlight(0, 8)
        balancer.answer(0, [("x-queue", "nonsense")])
        // 11 of the first and of the second.
        pool.setInFlight(0, 9)
        balancer.answer(1, [("x-queue", "-1")])
        // 12 of the first, 1 of the second.
        #expect(balancer.pick() == 1)
    }

    @Test func workersShareReportsAndIneligibleOnesArePassedOver() throws {
        let pool = WatchedPool(["http://a:1", "http://b:1", "http://c:1"], inFlight: [0, 0, 0])
        let one = try Watcher(host, ["headers": ["queue": "x-queue"]], pool)
        let two = try Watcher(host, ["headers": ["queue": "x-queue"]], pool, worker: 1)
        for index in 0..<3 { one.answer(index, [("x-queue", "\(index)")]) }
        #expect(two.pick() == 0)
        #expect(two.pick(eligible: [1, 2]) == 1)
        #expect(two.pick(eligible: [2]) == 2)
    }

    /// A table for one endpoint has 32 places: those of endpoints that are gone are given away, those of silent ones
    /// that are still there are not.
    @Test func placesOfEndpointsThatAreGoneServeOthers() throws {
        let config: ConfigTree = ["headers": ["queue": "x-queue"], "max_endpoints": 1, "max_age_ms": 600_000]
        let old = WatchedPool((0..<32).map { "http://h\($0):1" }, inFlight: [UInt32](repeating: 0, count: 32))
        let before = try Watcher(host, config, old)
        for index in 0..<32 { before.answer(index, [("x-queue", "9")]) }
        let new = WatchedPool(["http://x:1", "http://y:1"], inFlight: [1, 0], ids: [100, 101])
        let after = try Watcher(host, config, new)
        after.answer(0, [("x-queue", "0")])
        after.answer(1, [("x-queue", "5")])
        // There was no room for either: least request.
        #expect(after.pick() == 1)
        host.advance(by: 601_000_000_000)
        after.answer(0, [("x-queue", "0")])
        after.answer(1, [("x-queue", "5")])
        #expect(after.pick() == 0)
    }

    /// The clock of reports comes around after 49.7 days, and looks like one that runs backwards for half of these.
    @Test(arguments: [1, 24, 25, 30, 40, 49] as [UInt64]) func aReportOfDaysAgoIsOld(_ days: UInt64) throws {
        let config: ConfigTree = ["headers": ["queue": "x-queue"], "max_endpoints": 1, "max_age_ms": 600_000]
        let old = WatchedPool((0..<32).map { "http://h\($0):1" }, inFlight: [2, 1] + [UInt32](repeating: 3, count: 30))
        // Not the first worker, which has a timer.
        let before = try Watcher(host, config, old, worker: 1)
        for index in 0..<32 { before.answer(index, [("x-queue", index == 1 ? "50" : "0")]) }
        #expect(before.pick() == 0)
        host.advance(by: days * 86_400_000_000_000)
        #expect(before.pick() == 1)
        #expect(host.metric("blind_picks_total")?.value == 1)
        // The places of those that are gone go to others.
        let new = WatchedPool(["http://x:1", "http://y:1"], inFlight: [1, 0], ids: [100, 101])
        let after = try Watcher(host, config, new, worker: 1)
        after.answer(0, [("x-queue", "0")])
        after.answer(1, [("x-queue", "5")])
        #expect(after.pick() == 0)
    }

    /// Another worker wrote it after this one had looked at the clock.
    @Test func aReportFromAMomentAheadIsFresh() throws {
        let pool = WatchedPool(["http://a:1", "http://b:1"], inFlight: [2, 1])
        let balancer = try Watcher(host, ["headers": ["queue": "x-queue"]], pool, worker: 1)
        balancer.answer(0, [("x-queue", "0")])
        balancer.answer(1, [("x-queue", "50")])
        host.monotonic -= 5_000_000
        #expect(balancer.pick() == 0)
    }

    /// Ids of endpoints that had one place after another differ in their high half alone.
    @Test func endpointsOfOnePlaceHavePlacesOfTheirOwn() throws {
        let pool = WatchedPool(
            (0..<40).map { "http://h\($0):1" }, inFlight: [UInt32](repeating: 0, count: 40),
            ids: (0..<40).map { $0 << 32 | 7 })
        let balancer = try Watcher(host, ["headers": ["queue": "x-queue"], "max_endpoints": 40], pool)
        for index in 0..<40 { balancer.answer(index, [("x-queue", "1")]) }
        host.advance(by: 2_000_000)
        #expect(host.metric("known_endpoints")?.value == 40)
    }

    /// The host has a bound for them.
    @Test func aPoolTakesOneBlockOfState() throws {
        let pool = WatchedPool(["http://a:1"], inFlight: [0])
        _ = try (0..<2).map { try Watcher(host, ["headers": [:], "scrape": [:]], pool, worker: UInt32($0)) }
        #expect(host.stateBlockCount == 1)
    }

    @Test func ofAThousandOneOfTheBestIsTaken() throws {
        let pool = WatchedPool(
            (0..<1_000).map { "http://h\($0):1" }, inFlight: [UInt32](repeating: 0, count: 1_000))
        let balancer = try Watcher(host, ["headers": ["queue": "x-queue"]], pool)
        for index in 0..<1_000 { balancer.answer(index, [("x-queue", "\(index)")]) }
        var sum = 0
        var seen: Set<UInt32> = []
        for _ in 0..<200 {
            let picked = balancer.pick()
            sum += Int(picked)
            seen.insert(picked)
        }
        // The lowest of 64 neighbours is the first of them: all over the list, for queues are in its order.
        #expect(seen.count > 100)
        #expect((300...650).contains(sum / 200), "\(sum / 200)")
    }

    @Test func theRequestAsksWhereItShould() throws {
        let pool = WatchedPool(["http://a:1"], inFlight: [0])
        let balancer = try Watcher(host, ["headers": ["ask": "json"]], pool)
        let exchange = FakeExchange()
        _ = balancer.pick(exchange)
        #expect(
            exchange.edits == [
                FakeExchange.Edit(
                    side: UInt32(SLUICE_SIDE_REQUEST), name: "endpoint-load-metrics-format", value: "json")
            ])
    }

    @Test func aPageIsFetchedOnceAPool() throws {
        let backends = try (0..<2).map { index in
            try PageServer(
                """
                # TYPE vllm:num_requests_waiting gauge
                vllm:num_requests_waiting{engine="0",model_name="m"} \(index == 0 ? 5 : 1)
                vllm:num_requests_waiting{engine="1",model_name="m"} \(index == 0 ? 5 : 1)
                vllm:num_requests_waiting{engine="0",model_name="other"} 900
                vllm:gpu_cache_usage_perc{engine="0",model_name="m"} 0.25\n
                """)
        }
        let closed = try PageServer.closedPort()
        let pool = WatchedPool(
            backends.map { "http://127.0.0.1:\($0.port)" } + ["http://127.0.0.1:\(closed)"], inFlight: [0, 0, 60])
        let config: ConfigTree = [
            "preset": "vllm", "scrape": ["interval_ms": 1000, "labels": ["model_name": "m"]], "max_age_ms": 2_000,
        ]
        let workers = try (0..<2).map { try Watcher(host, config, pool, worker: UInt32($0)) }
        // A new generation beside the old one.
        let next = try Watcher(host, config, pool)
        host.advance(by: 2_000_000)
        #expect(host.offloaded.count == 1)
        host.runOffloaded()
        #expect(backends.map(\.requests.count) == [1, 1])
        #expect(backends[0].requests[0].hasPrefix("GET /metrics HTTP/1.0\r\nHost: 127.0.0.1:\(backends[0].port)\r\n"))
        // 11, 3, and 61 + 6.
        for balancer in workers + [next] { #expect(balancer.pick() == 1) }
        // 11, 8, and 3 + 6: who says nothing stands for the mean.
        pool.setInFlight(1, 5)
        pool.setInFlight(2, 2)
        #expect(next.pick() == 1)
        pool.setInFlight(1, 7)
        #expect(next.pick() == 2)
        host.advance(by: 1_000_000_000)
        #expect(host.metric("pages_total")?.value == 2)
        #expect(host.metric("page_failures_total")?.value == 1)
        #expect(host.metric("known_endpoints")?.value == 2)
        #expect(host.log.map(\.text) == ["metrics of http://127.0.0.1:\(closed): cannot connect: Connection refused"])
    }

    @Test(arguments: [
        ("HTTP/1.0 503 No\r\n\r\n", "its answer is no page of metrics: not HTTP, not 200, or cut"),
        (
            "HTTP/1.0 200 OK\r\n\r\nother 1\n",
            "its page has none of the metrics; are 'preset' and 'scrape.labels' right?"
        ),
        (
            "HTTP/1.0 200 OK\r\n\r\n" + String(repeating: "# padding\n", count: 500),
            "its page is larger than 'scrape.max_bytes'"
        ),
        ("", "no whole page within 20 ms"),
    ])
    func aPageThatCannotBeReadIsAFailure(_ answer: String, _ why: String) throws {
        let backend = try PageServer(raw: answer)
        let address = "http://127.0.0.1:\(backend.port)"
        let pool = WatchedPool([address], inFlight: [0])
        let balancer = try Watcher(
            host, ["scrape": ["interval_ms": 50, "timeout_ms": answer.isEmpty ? 20 : 5_000, "max_bytes": 1_024]], pool)
        host.advance(by: 2_000_000)
        host.runOffloaded()
        host.advance(by: 50_000_000)
        #expect(host.log.map(\.text) == ["metrics of \(address): \(why)"])
        #expect(host.metric("page_failures_total")?.value == 1)
        #expect(balancer.pick() == 0)
    }

    @Test func wherePlainHTTPIsNotSpokenAPortIsNeeded() throws {
        let pool = WatchedPool(["grpc://127.0.0.1:8001"], inFlight: [0])
        let balancer = try Watcher(host, ["scrape": [:]], pool)
        host.advance(by: 2_000_000)
        host.runOffloaded()
        host.advance(by: 1_000_000_000)
        #expect(
            host.log.map(\.text) == [
                "metrics of grpc://127.0.0.1:8001: pages are fetched in plain HTTP; "
                    + "set 'scrape.port' to where it is spoken"
            ])
        #expect(balancer.pick() == 0)
    }

    /// A resolver may take half a minute, and the round's thread is one of two that all plugins share.
    @Test func noRoundWaitsForAName() throws {
        let pool = WatchedPool(["http://nobody.invalid:1"], inFlight: [0])
        let balancer = try Watcher(host, ["scrape": ["interval_ms": 50]], pool)
        var rounds = 0
        let end = ContinuousClock.now + .seconds(60)
        while host.metric("page_failures_total")?.value != 1, ContinuousClock.now < end {
            host.advance(by: 50_000_000)
            host.runOffloaded()
            rounds += 1
        }
        // The first round has only asked, and its end is seen in the second: then nothing has failed yet.
        #expect(rounds > 2)
        #expect(host.log.map(\.text) == ["metrics of http://nobody.invalid:1: its name has no address"])
        #expect(balancer.pick() == 0)
    }

    private static let wrong: [(config: ConfigTree, path: String)] = [
        ([:], ""), (["preset": "vlm", "headers": [:]], "preset"), (["header": [:]], "header"),
        (["headers": ["orca": false]], "headers"), (["headers": ["ask": "binary"]], "headers.ask"),
        (["headers": ["ask": "text", "orca": false, "queue": "x"]], "headers.ask"),
        (["headers": ["queue": "x queue"]], "headers.queue"), (["headers": ["cache": "x:"]], "headers.cache"),
        (["scrape": ["path": "metrics"]], "scrape.path"), (["scrape": ["port": 0]], "scrape.port"),
        (["scrape": ["interval_ms": 4_000], "max_age_ms": 5_000], ""), (["headers": [:], "queue": [""]], "queue[0]"),
        (["headers": [:], "cache_weight": 1.0], "cache_weight"),
    ]

    @Test(arguments: wrong)
    func wrongKeysAreTold(_ config: ConfigTree, _ path: String) throws {
        let table = try LoadedPlugin("QueueAware").table(SLUICE_BALANCER_2, as: sluice_balancer_2.self)
        #expect(host.create(table.pointee.base, config: config).status == SLUICE_INVALID_ARGUMENT)
        #expect(host.configurationErrors.map(\.path) == [path])
    }
}
