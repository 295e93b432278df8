import SluiceABI
import SluiceHashing
import Testing

@testable import Host

@Suite struct TensorBlockTests {
    /// Datatypes with the size of their elements; BYTES has none of its own.
    private static let datatypes: [(code: Int32, size: Int)] = [
        (SLUICE_DATATYPE_BOOL, 1), (SLUICE_DATATYPE_UINT8, 1), (SLUICE_DATATYPE_UINT16, 2), (SLUICE_DATATYPE_UINT32, 4),
        (SLUICE_DATATYPE_UINT64, 8), (SLUICE_DATATYPE_INT8, 1), (SLUICE_DATATYPE_INT16, 2), (SLUICE_DATATYPE_INT32, 4),
        (SLUICE_DATATYPE_INT64, 8), (SLUICE_DATATYPE_FP16, 2), (SLUICE_DATATYPE_FP32, 4), (SLUICE_DATATYPE_FP64, 8),
        (SLUICE_DATATYPE_BYTES, 0), (SLUICE_DATATYPE_BF16, 2),
    ]

    private static func length(_ count: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: count >> ($0 * 8)) } }

    private static func tensor(
        _ datatype: (code: Int32, size: Int), shape: [Int64], using random: inout SplitMix64
    ) -> PayloadText.Tensor {
        let elements = shape.reduce(1) { $0 * Int($1) }
        var data: [UInt8] = []
        for _ in 0..<elements {
            let size = datatype.size > 0 ? datatype.size : Int.random(in: 0...40, using: &random)
            if datatype.size == 0 { data += length(size) }
            for _ in 0..<size { data.append(UInt8.random(in: 0...255, using: &random)) }
        }
        return PayloadText.Tensor(name: Array("input \(shape)".utf8), datatype: datatype.code, shape: shape, data: data)
    }

    private func copy(_ text: PayloadText, first: Int = 0, rows: Int? = nil) -> PayloadText? {
        guard let block = text.withViews({ TensorBlock($0, first: first, rows: rows) }) else { return nil }
        defer { block.deallocate() }
        return PayloadText(block.payload.pointee)
    }

    private static let parameters: [PayloadText.Parameter] = [
        PayloadText.Parameter(name: Array("sequence".utf8), kind: UInt32(SLUICE_PARAMETER_INT64), integer: -7),
        PayloadText.Parameter(name: Array("on".utf8), kind: UInt32(SLUICE_PARAMETER_BOOL), integer: 1),
        PayloadText.Parameter(name: [], kind: UInt32(SLUICE_PARAMETER_DOUBLE), number: 0.5),
        PayloadText.Parameter(
            name: Array("tag".utf8), kind: UInt32(SLUICE_PARAMETER_STRING),
            text: Array("a longer text than one line".utf8)),
    ]

    @Test func aCopyOfEveryTypeRankAndEmptyDimensionIsTheSame() {
        var random = SplitMix64(seed: 11)
        let shapes: [[Int64]] = [[], [3], [0], [2, 5], [2, 0], [0, 4], [2, 3, 2], [1, 1, 1, 1], [2, 1, 3, 2]]
        for datatype in Self.datatypes {
            for shape in shapes {
                let text = PayloadText(tensors: [Self.tensor(datatype, shape: shape, using: &random)])
                #expect(copy(text) == text, "\(datatype.code) \(shape)")
            }
        }
    }

    @Test func aCopyHasFieldsAndATenantOfItsOwn() throws {
        let field = sluice_field(name: sluice_bytes("X-Set"), value: sluice_bytes("a value"))
        let block = try withUnsafePointer(to: field) {
            try #require(
                TensorBlock(
                    sluice_payload(), fields: UnsafeBufferPointer(start: $0, count: 1),
                    tenant: sluice_bytes("somebody")))
        }
        defer { block.deallocate() }
        #expect(block.tenant == sluice_bytes("somebody"))
        #expect(block.fields.count == 1 && block.fields[0].name == field.name && block.fields[0].value == field.value)
        for bytes in [block.tenant, block.fields[0].value] {
            let distance = UInt(bitPattern: bytes.data) &- UInt(bitPattern: block.memory)
            #expect(distance < 512)
        }
    }

    @Test func aCopyKeepsEverythingAPayloadCanHold() {
        var random = SplitMix64(seed: 12)
        var tensors = [(SLUICE_DATATYPE_FP32, 4), (SLUICE_DATATYPE_BYTES, 0)].map {
            Self.tensor($0, shape: [2, 3], using: &random)
        }
        tensors[0].parameters = Self.parameters
        tensors[1].parameters = [Self.parameters[3]]
        let shared = PayloadText.Tensor(
            name: [0x78], datatype: SLUICE_DATATYPE_FP32, shape: [2, 2], data: [], region: Array("region 0".utf8),
            regionOffset: 64, regionSize: 16)
        let text = PayloadText(
            flags: UInt32(SLUICE_PAYLOAD_FLAG_BINARY), tensors: tensors + [shared],
            outputs: [
                PayloadText.Output(
                    name: Array("probabilities".utf8), flags: SLUICE_OUTPUT_BINARY, parameters: Self.parameters),
                PayloadText.Output(name: [], flags: 0),
            ], parameters: Self.parameters.reversed())
        #expect(copy(text) == text)
    }

    @Test func aPayloadWithoutTensorsIsCopiedToo() {
        let raw = PayloadText(
            kind: UInt32(SLUICE_PAYLOAD_RAW), contentType: Array("text/plain".utf8), raw: Array("a body".utf8))
        #expect(copy(raw) == raw)
        let none = PayloadText(kind: UInt32(SLUICE_PAYLOAD_NONE))
        #expect(copy(none) == none)
    }

    @Test func rowsAreCutAlongTheFirstDimension() throws {
        let numbers = PayloadText.Tensor(
            name: [1], datatype: SLUICE_DATATYPE_UINT16, shape: [3, 2], data: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
        let texts = PayloadText.Tensor(
            name: [2], datatype: SLUICE_DATATYPE_BYTES, shape: [3],
            data: [2, 0, 0, 0, 0x61, 0x62, 0, 0, 0, 0, 1, 0, 0, 0, 0x63])
        let cut = try #require(copy(PayloadText(tensors: [numbers, texts]), first: 1, rows: 2))
        #expect(cut.tensors[0].shape == [2, 2])
        #expect(cut.tensors[0].data == [5, 6, 7, 8, 9, 10, 11, 12])
        #expect(cut.tensors[1].shape == [2])
        #expect(cut.tensors[1].data == [0, 0, 0, 0, 1, 0, 0, 0, 0x63])
        let first = try #require(copy(PayloadText(tensors: [numbers, texts]), first: 0, rows: 1))
        #expect(first.tensors[0].data == [1, 2, 3, 4])
        #expect(first.tensors[1].data == [2, 0, 0, 0, 0x61, 0x62])
    }

    /// What a batch does: members' tensors one after the other, and the rows of each out of it again.
    @Test(arguments: 1...20 as ClosedRange<UInt64>)
    func splittingWhatWasMergedGivesEachItsOwn(seed: UInt64) throws {
        var random = SplitMix64(seed: seed)
        let kinds = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            (
                Self.datatypes.randomElement(using: &random) ?? Self.datatypes[0],
                (0..<Int.random(in: 0...3, using: &random)).map { _ in Int64.random(in: 0...3, using: &random) }
            )
        }
        let members = (0..<Int.random(in: 1...6, using: &random)).map { _ in
            let rows = Int64.random(in: 1...5, using: &random)
            return PayloadText(
                tensors: kinds.enumerated().map { index, kind in
                    var tensor = Self.tensor(kind.0, shape: [rows] + kind.1, using: &random)
                    tensor.name = [UInt8(index)]
                    return tensor
                })
        }
        var merged = members[0]
        for index in merged.tensors.indices {
            merged.tensors[index].data = members.flatMap { $0.tensors[index].data }
            merged.tensors[index].shape[0] = members.reduce(0) { $0 + $1.tensors[index].shape[0] }
        }
        var first = 0
        for (index, member) in members.enumerated() {
            let rows = Int(member.tensors[0].shape[0])
            #expect(copy(merged, first: first, rows: rows) == member, "seed \(seed), member \(index)")
            first += rows
        }
    }

    /// The answer that is cut is an endpoint's: whatever it says of its shape, it must not bring the gateway down.
    @Test(
        arguments: [
            ([], [1, 2, 3, 4]), ([2, 2], [1, 2, 3]), ([1], [1, 2]), ([0], []), ([-1, 2], [1, 2]), ([.max, 2], [1, 2]),
            ([.min], [1]),
        ] as [([Int64], [UInt8])])
    func numbersThatHaveNoSuchRowsAreRefused(shape: [Int64], data: [UInt8]) {
        let tensor = PayloadText.Tensor(name: [], datatype: SLUICE_DATATYPE_INT8, shape: shape, data: data)
        #expect(copy(PayloadText(tensors: [tensor]), first: 0, rows: 2) == nil)
    }

    @Test(
        arguments: [
            [2, .max, .max], [2, -1], [2, .min, 3], [2, 1 << 40], [2, 2], [2, 1 << 62, 4], [-2],
        ] as [[Int64]])
    func textsThatHaveNoSuchRowsAreRefused(shape: [Int64]) {
        // Three elements, of which the last is longer than what is left.
        let data: [UInt8] = [0, 0, 0, 0, 1, 0, 0, 0, 0x61, 255, 255, 255, 255, 0x62]
        let tensor = PayloadText.Tensor(name: [], datatype: SLUICE_DATATYPE_BYTES, shape: shape, data: data)
        #expect(copy(PayloadText(tensors: [tensor]), first: 0, rows: 2) == nil)
    }

    @Test func rowsOutOfRangeAreRefused() {
        for code in [SLUICE_DATATYPE_INT8, SLUICE_DATATYPE_BYTES] {
            let tensor = PayloadText.Tensor(name: [], datatype: code, shape: [4, 0], data: [])
            let text = PayloadText(tensors: [tensor])
            for (first, rows) in [(0, 5), (4, 1), (-1, 2), (0, -1), (.max, 1), (1, .max), (2, 3)] {
                #expect(copy(text, first: first, rows: rows) == nil, "\(first) \(rows)")
            }
            #expect(copy(text, first: 3, rows: 1)?.tensors[0].shape == [1, 0])
        }
    }

    @Test func bytesInASharedRegionAreNotCut() {
        let tensor = PayloadText.Tensor(
            name: [], datatype: SLUICE_DATATYPE_FP32, shape: [2, 2], data: [], region: [0x72], regionSize: 16)
        #expect(copy(PayloadText(tensors: [tensor]), first: 0, rows: 1) == nil)
    }

    @Test func emptyDimensionsOfTextsHaveRowsWithoutElements() {
        let tensor = PayloadText.Tensor(
            name: [], datatype: SLUICE_DATATYPE_BYTES, shape: [2, .max, 4, 0], data: [])
        #expect(copy(PayloadText(tensors: [tensor]), first: 1, rows: 1)?.tensors[0].shape == [1, .max, 4, 0])
    }
}
