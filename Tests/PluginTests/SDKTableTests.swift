import SluiceABI
import SluicePlugin
import Testing

/// The SDK's C functions, as a host calls them, over a filter and a backend that live in this test.
@Suite(.serialized) struct SDKTableTests {
    let host = FakeHost()

    private func filter() throws -> UnsafePointer<sluice_filter> { try table(SLUICE_FILTER) }
    private func backend() throws -> UnsafePointer<sluice_backend> { try table(SLUICE_BACKEND) }

    private func table<Table>(_ id: String) throws -> UnsafePointer<Table> {
        let entry = try #require(
            export(0, Probe.plugin, [.filter(Probe.self), .backend(Doubler.self)]))
        // The host may call the entry more than once.
        #expect(export(0, Probe.plugin, [.filter(Probe.self), .backend(Doubler.self)]) == entry)
        #expect(entry.pointee.abi_version == UInt32(SLUICE_ABI_VERSION))
        #expect(text(entry.pointee.name) == "probe")
        #expect(entry.pointee.extension_count == 2)
        let offered = try #require(
            (0..<2).map { entry.pointee.extensions[$0] }.first { text($0.id) == id }?.table)
        return offered.assumingMemoryBound(to: Table.self)
    }

    private func make(_ config: ConfigTree = .null) throws -> UnsafeMutableRawPointer {
        let made = host.create(try filter().pointee.base, config: config)
        #expect(made.status == SLUICE_OK)
        return try #require(made.instance)
    }

    private func ask(_ instance: UnsafeMutableRawPointer, _ exchange: FakeExchange) throws -> sluice_status {
        var answer = sluice_response()
        let status = try filter().pointee.on_request(instance, exchange.handle, exchange.request, &answer)
        if status == SLUICE_ANSWER { #expect(answer.http_status == 418) }
        return status
    }

    @Test func everyKindOfTableSaysItsSizeAndInstancing() throws {
        #expect(try filter().pointee.base.struct_size == UInt32(MemoryLayout<sluice_filter>.size))
        #expect(try filter().pointee.base.instancing == UInt32(SLUICE_INSTANCE_PER_WORKER))
        #expect(try backend().pointee.base.instancing == UInt32(SLUICE_INSTANCE_SHARED))
    }

    @Test func verdictsAndErrorsBecomeStatuses() throws {
        let instance = try make()
        defer { try? filter().pointee.base.destroy(instance) }
        #expect(try filter().pointee.needs(instance) == UInt32(SLUICE_FILTER_CHUNKS))
        #expect(try ask(instance, FakeExchange("GET", "/pass")) == SLUICE_OK)
        #expect(try ask(instance, FakeExchange("GET", "/answer")) == SLUICE_ANSWER)
        #expect(try ask(instance, FakeExchange("GET", "/deny")) == SLUICE_PERMISSION_DENIED)
        #expect(host.failure == "no way to /deny")
        // A code that is no error must not pass as a verdict.
        #expect(try ask(instance, FakeExchange("GET", "/wrong-code")) == SLUICE_UNKNOWN)
        #expect(
            try filter().pointee.on_chunk(
                instance, FakeExchange().handle, UInt32(SLUICE_SIDE_RESPONSE), SluicePlugin.Bytes("virus").raw)
                == SLUICE_ABORTED)
    }

    @Test func aSuspendedCallIsResumedByItsToken() throws {
        let instance = try make()
        defer { try? filter().pointee.base.destroy(instance) }
        let exchange = FakeExchange("GET", "/later")
        exchange.token = 4711
        #expect(try ask(instance, exchange) == SLUICE_PENDING)
        #expect(host.resumed.isEmpty)
        host.runOffloaded()
        #expect(host.resumed == [4711])
        exchange.isResumed = true
        #expect(try ask(instance, exchange) == SLUICE_OK)
        // When the pool takes nothing more, the call fails rather than waits for ever.
        host.offloadBound = 0
        exchange.isResumed = false
        #expect(try ask(instance, exchange) == SLUICE_RESOURCE_EXHAUSTED)
    }

    @Test func memoryThatTheExchangeHasNotIsAnError() throws {
        let instance = try make()
        defer { try? filter().pointee.base.destroy(instance) }
        host.arenaBound = 100
        #expect(try ask(instance, FakeExchange("GET", "/large")) == SLUICE_RESOURCE_EXHAUSTED)
        host.arenaBound = 100_000
        let exchange = FakeExchange("GET", "/large")
        #expect(try ask(instance, exchange) == SLUICE_OK)
        // 1,000 numbers of three or more digits, through several rooms of the writer.
        let written = text(exchange.request.pointee.session)
        #expect(written.hasPrefix("-500,-499,"))
        #expect(
            written.hasSuffix(
                ",499,18446744073709551615,18446744073709551614,10000000000000000000,9999999999999999999,10,9,"
                    + "-9223372036854775808"))
        #expect(written.split(separator: ",").count == 1007)
    }

    @Test func aCountedBufferIsGivenBackWithItsLastReference() throws {
        let instance = try make()
        let before = FakeBuffer.count
        do {
            let exchange = FakeExchange("GET", "/buffer")
            #expect(try ask(instance, exchange) == SLUICE_OK)
            #expect(text(exchange.request.pointee.session) == "shared")
            #expect(FakeBuffer.count == before + 1, "one is the exchange's and the filter's, the other is gone")
        }
        #expect(FakeBuffer.count == before + 1, "the filter still holds it")
        #expect(try ask(instance, FakeExchange("GET", "/buffer")) == SLUICE_OK)
        #expect(FakeBuffer.count == before + 1, "it holds one, the last")
        try filter().pointee.base.destroy(instance)
        #expect(FakeBuffer.count == before)
    }

    @Test func aPluginIsStartedAndStopped() throws {
        let entry = try #require(export(0, Probe.plugin, [.filter(Probe.self), .backend(Doubler.self)]))
        let before = Probe.starts.value
        #expect(entry.pointee.start() == SLUICE_OK)
        #expect(Probe.starts.value == before + 1)
        Probe.starts.value = -1
        #expect(entry.pointee.start() == SLUICE_FAILED_PRECONDITION)
        Probe.starts.value = 1
        entry.pointee.stop()
        #expect(Probe.starts.value == 0)
    }

    @Test func theAuthorsValueEndsWithItsInstance() throws {
        let before = Probe.alive.value
        let instance = try make()
        #expect(Probe.alive.value == before + 1)
        try filter().pointee.base.destroy(instance)
        #expect(Probe.alive.value == before)
        // An init that throws leaves nothing.
        #expect(host.create(try filter().pointee.base, config: ["fail": true]).instance == nil)
        #expect(Probe.alive.value == before)
    }

    @Test func stateOutlivesTheInstance() throws {
        for expected in 1...3 {
            let instance = try make()
            #expect(try ask(instance, FakeExchange("GET", "/count")) == SLUICE_OK)
            try filter().pointee.base.destroy(instance)
            #expect(host.metric("probe_count")?.value == Double(expected))
        }
    }

    @Test func aHostWithoutAServiceIsRefused() throws {
        host.missingServices = ["sluice.state/1"]
        let made = host.create(try filter().pointee.base)
        #expect(made.status == SLUICE_UNIMPLEMENTED)
        #expect(made.instance == nil)
        #expect(host.failure.contains("lacks a service"))
        // Without a log there is nobody to tell.
        host.missingServices = ["sluice.log/1"]
        #expect(host.create(try filter().pointee.base).status == SLUICE_UNIMPLEMENTED)
    }

    @Test func aBackendDescribesItselfAndAnswersTensors() throws {
        let table = try backend()
        let instance = try #require(host.create(table.pointee.base, worker: UInt32.max).instance)
        defer { table.pointee.base.destroy(instance) }
        var metadata = sluice_metadata()
        #expect(table.pointee.describe(instance, &metadata) == SLUICE_OK)
        #expect(text(metadata.name) == "doubler")
        #expect(metadata.input_count == 1)
        #expect(text(metadata.inputs[0].name) == "x")
        #expect([metadata.inputs[0].shape[0], metadata.inputs[0].shape[1]] == [-1, 2])

        let exchange = FakeExchange()
        let values: [Float] = [1, 2, 3, 4]
        let raw = values.withUnsafeBytes { exchange.texts.bytes(Array($0)) }
        var tensor = sluice_tensor()
        tensor.datatype = UInt32(SLUICE_DATATYPE_FP32)
        tensor.rank = 2
        tensor.shape = exchange.texts.array([2, 2] as [Int64])
        tensor.data = raw
        exchange.request.pointee.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        exchange.request.pointee.payload.tensors = exchange.texts.array([tensor])
        exchange.request.pointee.payload.tensor_count = 1
        var response = sluice_response()
        #expect(table.pointee.infer(instance, exchange.handle, exchange.request, &response) == SLUICE_OK)
        let answer = Response(&response).payload
        #expect(answer.kind == .tensors)
        #expect(answer.tensors.count == 1)
        #expect(Array(answer.tensors[0].shape) == [2, 2])
        #expect((0..<5).map { answer.tensors[0].element($0, as: Float.self) } == [2, 4, 6, 8, nil])
    }
}

extension SDKTableTests {
    /// Arrays that an adapter made end with their last element, and what is behind them is somebody else's.
    @Test func whatAnAdapterMadeIsAddedToInACopy() throws {
        let instance = try make()
        defer { try? filter().pointee.base.destroy(instance) }
        let exchange = FakeExchange("POST", "/append")
        let own = exchange.texts.mutable([Int64](0..<3).map(Self.parameter) + [Self.parameter(-1)])
        let tensors = exchange.texts.mutable([sluice_tensor(), sluice_tensor(rank: 9)])
        exchange.request.pointee.payload.parameters = UnsafePointer(own)
        exchange.request.pointee.payload.parameter_count = 3
        exchange.request.pointee.payload.tensors = UnsafePointer(tensors)
        exchange.request.pointee.payload.tensor_count = 1
        #expect(try ask(instance, exchange) == SLUICE_OK)
        #expect((0..<4).map { own[$0].integer } == [0, 1, 2, -1])
        #expect(tensors[1].rank == 9)
        let payload = Request(exchange.request).payload
        let values = payload.parameters.map { parameter -> Int64? in
            if case .integer(let value) = parameter.value { value } else { nil }
        }
        #expect(values == [Int64](0..<3) + [Int64](0..<20))
        // Two that share dimensions, of which one gets more.
        #expect(payload.tensors.map { Array($0.shape) } == [[], [2, 3], [2, 3, 5]])
    }

    private static func parameter(_ value: Int64) -> sluice_parameter {
        Parameter(name: SluicePlugin.Bytes("own"), value: .integer(value)).raw
    }
}

extension sluice_tensor {
    fileprivate init(rank: UInt32) {
        self.init()
        self.rank = rank
    }
}

/// A filter that does what the path says. Not copyable, so that its end can be seen.
struct Probe: Filter, ~Copyable {
    static let plugin = PluginDescription(
        name: "probe", version: "1", vendor: "test", licence: "Apache-2.0",
        start: { () throws(PluginError) in
            if starts.value < 0 { throw PluginError(.failedPrecondition, "as told") }
            starts.value += 1
        }, stop: { starts.value = 0 })
    static let starts = Alive()

    /// Counts instances; the tests of the suite run one after the other.
    final class Alive: @unchecked Sendable {
        var value = 0
    }
    static let alive = Alive()

    private let host: Host
    private let counters: SharedCounters
    private let gauge: Gauge
    private var kept: CountedBuffer?

    init(_ context: Context) throws(PluginError) {
        if try context.config.boolean("fail", default: false) { throw context.error(.internal, "as told") }
        // A struct with a deinit is made at one stroke, after all that may throw.
        let counters = try context.state.counters("counts", count: 4)
        let gauge = try context.metrics.gauge("probe_count", "Of requests.")
        host = context.host
        self.counters = counters
        self.gauge = gauge
        Probe.alive.value += 1
    }

    deinit { Probe.alive.value -= 1 }

    var needs: FilterNeeds { .chunks }

    mutating func onRequest(
        _ request: MutableRequest, answer: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> FilterVerdict {
        switch request.message.path {
        case "/answer":
            answer.httpStatus = 418
            return .answer
        case "/deny":
            throw exchange.error(.permissionDenied) { text in
                text.append("no way to ")
                text.append(request.message.path)
            }
        case "/wrong-code": throw PluginError(ErrorCode(status: 3), "not an error")
        case "/later":
            if exchange.resumed { return .pass }
            let suspension = exchange.suspension
            guard host.offload.run({ suspension.resume() }) else {
                throw PluginError(.resourceExhausted, "too much to do")
            }
            return .pending
        case "/large":
            var writer = exchange.writer(capacity: 16)
            for value in -500..<500 {
                writer.append(decimal: Int64(value))
                writer.append(",")
            }
            for value in [UInt64.max, UInt64.max - 1, 10_000_000_000_000_000_000, 9_999_999_999_999_999_999, 10, 9] {
                writer.append(decimal: value)
                writer.append(",")
            }
            writer.append(decimal: Int64.min)
            request.session = try writer.finish()
            return .pass
        case "/buffer":
            let buffer = try host.buffers.make(capacity: 6)
            buffer.memory.copy(SluicePlugin.Bytes("shared"))
            kept = buffer.share()
            request.session = exchange.adopt(buffer)
            let unused = try host.buffers.make(capacity: 100)
            return unused.capacity == 100 ? .pass : .answer
        case "/append":
            for value in Int64(0)..<20 {
                try request.payload.add(Parameter(name: Bytes("more"), value: .integer(value)), in: exchange)
            }
            let first = try request.payload.addTensor(in: exchange)
            for size in [Int64(2), 3] { try first.addDimension(size, in: exchange) }
            let shape = first.shape
            let second = try request.payload.addTensor(in: exchange)
            second.setShape(shape)
            try second.addDimension(5, in: exchange)
            return .pass
        case "/count":
            gauge.set(Double(counters.add(3)))
            return .pass
        default: return .pass
        }
    }

    mutating func onChunk(_ chunk: Bytes, side: Side, exchange: Exchange) throws(PluginError) {
        if side == .response, chunk == "virus" { throw PluginError(.aborted, "no") }
    }
}

/// A backend that doubles its input; one instance for all workers.
struct Doubler: Backend {
    static let plugin = Probe.plugin
    static let instancing = Instancing.shared

    init(_ context: Context) throws(PluginError) {}

    var description: ModelDescription {
        ModelDescription(
            name: "doubler", versions: ["1"], platform: "test", inputs: [.init("x", .fp32, shape: [-1, 2])],
            outputs: [.init("y", .fp32, shape: [-1, 2])])
    }

    func infer(
        _ request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> BackendVerdict {
        guard let input = request.payload.tensors.first else {
            throw PluginError(.invalidArgument, "an input is missing")
        }
        let output = try response.payload.setTensors(1, in: exchange)[0]
        output.name = Bytes("y")
        output.dataType = .fp32
        for dimension in input.shape { try output.addDimension(dimension, in: exchange) }
        let elements = try output.allocateElements(of: Float.self, in: exchange)
        for index in 0..<elements.count {
            guard let value = input.element(index, as: Float.self) else {
                throw PluginError(.invalidArgument, "the input is too short")
            }
            elements[index] = value * 2
        }
        return .answered
    }
}
