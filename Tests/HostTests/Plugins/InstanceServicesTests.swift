import Configuration
import SluiceABI
import Testing

@testable import Host

/// What services promise inside `create`.
@Suite struct InstanceServicesTests {
    private let context: InstanceContext
    private var handle: UnsafeMutableRawPointer { Unmanaged.passUnretained(context).toOpaque() }
    private static let position = Position(file: "f", line: 3, column: 7)

    init() throws {
        let environment = HostEnvironment(
            registry: try #require(MetricRegistry(workerCount: 1)), state: StateRegistry(),
            inbox: try #require(ControlInbox()), server: Settings.Server())
        context = InstanceContext(
            plugin: "p", workerIndex: 0, environment: environment, models: nil, modelCount: 0, modelNames: nil)
    }

    private func service<Table>(_ id: StaticString, _ type: Table.Type) throws -> Table {
        try #require(HostServices.find(handle, sluice_bytes(id))).assumingMemoryBound(to: Table.self).pointee
    }

    private func bytes<Result>(_ bytes: [UInt8], _ body: (sluice_bytes) -> Result) -> Result {
        bytes.withUnsafeBufferPointer { body(sluice_bytes(data: $0.baseAddress, size: $0.count)) }
    }

    // MARK: Configuration

    private struct Read: Equatable {
        var text: String?
        var integer: Int64?
        var number: Double?
        var boolean: Bool?
    }

    private func read(_ text: String, quoted: Bool = false) throws -> Read {
        let table = try service("sluice.config/1", sluice_config.self)
        let node = context.node(.sequence([.scalar(text, quoted: quoted, Self.position)], Self.position), secrets: [:])
        let child = table.at(handle, node, 0, nil)
        var (found, integer, number, boolean) = (sluice_bytes(), Int64(0), 0.0, false)
        return Read(
            text: table.text(handle, child, &found) ? found.text : nil,
            integer: table.integer(handle, child, &integer) ? integer : nil,
            number: table.number(handle, child, &number) ? number : nil,
            boolean: table.boolean(handle, child, &boolean) ? boolean : nil)
    }

    /// As the keys of the host's own: "Types are strict" in Docs/configuration.md.
    @Test func valuesAreTypedAsTheHostsOwn() throws {
        #expect(try read("5") == Read(text: "5", integer: 5, number: 5))
        let integer = "-9223372036854775808"
        #expect(try read(integer) == Read(text: integer, integer: .min, number: -9_223_372_036_854_775_808))
        #expect(try read("9223372036854775808") == Read(text: "9223372036854775808", number: 9_223_372_036_854_775_808))
        #expect(try read("1e3") == Read(text: "1e3", number: 1_000))
        #expect(try read("0.5") == Read(text: "0.5", number: 0.5))
        for text in ["010", "+5", "0x10", "0x1p3", ".5", "5.", "1_000", ".inf", "nan", "yes", "True", "1.2.3"] {
            #expect(try read(text) == Read(text: text), "\(text)")
        }
        for text in ["5", "true", "null", "~", ""] {
            #expect(try read(text, quoted: true) == Read(text: text), "\"\(text)\"")
        }
        for text in ["null", "~", ""] { #expect(try read(text) == Read(), "\(text)") }
        #expect(try read("true") == Read(boolean: true))
        #expect(try read("1e999") == Read())
    }

    @Test func aValueOfAnotherTypeIsReportedWithItsCure() throws {
        _ = try read("1.5")
        #expect(
            context.problems.map(\.message) == [
                "expected a whole number, not a number", "expected true or false, not a number",
            ])
        #expect(context.problems.allSatisfy { $0.position == Self.position })
    }

    // MARK: Metrics

    @Test func whatIsRefusedIsNoneOfTheMetrics() throws {
        let table = try service("sluice.metrics/1", sluice_metrics.self)
        func declare(_ name: String) -> UInt32 {
            bytes(Array(name.utf8)) {
                table.declare(handle, UInt32(SLUICE_METRIC_COUNTER), $0, sluice_bytes("d"), nil, 0)
            }
        }
        for _ in 0..<100 { #expect(declare("No name") == SLUICE_NONE) }
        let first = declare("m0")
        for _ in 0..<100 { #expect(declare("m0") == first) }
        for number in 1..<64 { #expect(declare("m\(number)") != SLUICE_NONE, "\(number)") }
        #expect(declare("m64") == SLUICE_NONE)
    }

    @Test func labelsAreTheirBytes() throws {
        let table = try service("sluice.metrics/1", sluice_metrics.self)
        func declare(_ value: [UInt8]) -> UInt32 {
            bytes(value) { value in
                var label = sluice_field(name: sluice_bytes("who"), value: value)
                return table.declare(
                    handle, UInt32(SLUICE_METRIC_COUNTER), sluice_bytes("seen"), sluice_bytes("d"), &label, 1)
            }
        }
        let (composed, decomposed) = (declare(Self.composed), declare(Self.decomposed))
        #expect(composed != SLUICE_NONE && decomposed != SLUICE_NONE && composed != decomposed)
        #expect(declare(Self.composed) == composed)
        #expect(declare([0xFF]) == SLUICE_NONE)
    }

    // MARK: State

    @Test func stateIsFoundByTheBytesOfItsName() throws {
        let table = try service("sluice.state/1", sluice_state.self)
        let names = [Self.composed, Self.decomposed, [0xFF], [0xFE], []]
        let blocks = names.map { name in bytes(name) { table.block(handle, $0, 8) } }
        #expect(Set(blocks).count == names.count && !blocks.contains(nil))
        #expect(names.map { name in bytes(name) { table.block(handle, $0, 8) } } == blocks)
    }

    /// Letters with an accent, which Unicode calls equivalent.
    private static let composed: [UInt8] = [0xC3, 0xA9]
    private static let decomposed: [UInt8] = [0x65, 0xCC, 0x81]

    // MARK: Failures

    @Test func theReasonOfACallOnTheMainThreadIsKept() throws {
        let table = try service("sluice.log/1", sluice_log.self)
        let told = context.onMain {
            table.fail(handle, sluice_bytes("no such place"))
            return SLUICE_NOT_FOUND
        }
        #expect(told.status == SLUICE_NOT_FOUND && told.failure == "no such place")
        #expect(context.onMain { SLUICE_UNKNOWN }.failure == nil)
        let long = context.onMain {
            bytes([UInt8](repeating: 0x61, count: 5_000)) { table.fail(handle, $0) }
            return SLUICE_UNKNOWN
        }
        #expect(long.failure?.utf8.count == 1_024)
    }
}
