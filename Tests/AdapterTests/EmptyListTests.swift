import RestPredictCodec
import SluiceABI
import SluiceJSON
import Testing

/// A shape alone says how many lists a tensor without elements has: a message of some bytes must not become one of any
/// size in a protocol that writes them all.
@Suite struct EmptyListTests {
    private func tensor(_ test: TestArena, _ name: String, _ shape: [Int64]) -> sluice_tensor {
        var tensor = sluice_tensor()
        tensor.name = test.bytes(name)
        tensor.datatype = Datatype.fp32.rawValue
        tensor.rank = UInt32(shape.count)
        tensor.shape = test.array(shape)
        return tensor
    }

    /// What a backend would be sent; the status and words that refuse it.
    private func sent(
        _ shapes: [[Int64]], columns: Bool, _ test: TestArena
    ) -> (status: sluice_status, text: String) {
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        request.payload.tensors = test.array(shapes.enumerated().map { tensor(test, "x\($0.offset)", $0.element) })
        request.payload.tensor_count = UInt32(shapes.count)
        request.payload.flags = columns ? UInt32(SLUICE_PAYLOAD_FLAG_COLUMNS) : 0
        var message = sluice_message()
        do throws(CodecFailure) {
            _ = try RestPredictProtocol(PredictOptions()).encodeRequest(
                request, for: sluice_target(), into: &message, arena: test.arena)
            return (SLUICE_OK, message.bodyText)
        } catch {
            return (error.status, error.text)
        }
    }

    @Test(
        arguments: [
            [[65_537, 0]], [[4_000_000_000, 0]], [[.max, 0]], [[1 << 29, 1 << 29, 0]], [[300, 300, 0, 7]],
            [[40_000, 0], [40_000, 0]], [[65_536, 1, 0]], [[30_000, 1, 1, 0]],
        ] as [[[Int64]]])
    func moreListsThanAnyoneMeansAreRefused(_ shapes: [[Int64]]) {
        for columns in [false, true] {
            // No memory is taken for what is refused.
            let (status, text) = sent(shapes, columns: columns, TestArena(limit: 4_096))
            #expect(status == SLUICE_INVALID_ARGUMENT)
            #expect(text.contains("more rows than lists are written for, tensor 'x"), "\(text)")
        }
    }

    @Test func someAreWritten() {
        for (shape, value) in [
            ([0], "[]"), ([0, 4_000_000_000], "[]"), ([2, 0], "[[],[]]"), ([2, 1, 0, 9], "[[[]],[[]]]"),
            ([1, 2], ""),
        ] as [([Int64], String)] {
            let (status, text) = sent([shape], columns: true, TestArena())
            guard !value.isEmpty else {
                // Of elements that are not there nobody is told that they are too many.
                #expect(status == SLUICE_INTERNAL)
                continue
            }
            #expect(text == "{\"inputs\":\(value)}")
        }
        let (status, text) = sent([[65_536, 0]], columns: false, TestArena())
        #expect(status == SLUICE_OK)
        #expect(text.utf8.count == 65_536 * 3 + "{\"instances\":[]}".utf8.count - 1)
    }

    /// `rows` rows of two tensors, each with a name of so many bytes and one byte in a row.
    private func named(_ size: Int, rows: Int, _ test: TestArena) -> UnsafePointer<sluice_tensor> {
        test.array(
            ["a", "b"].map {
                var made = tensor(test, String(repeating: $0, count: size), [Int64(rows), 1])
                made.datatype = Datatype.uint8.rawValue
                made.data = test.bytes([UInt8](repeating: 7, count: rows))
                return made
            })
    }

    @Test(arguments: [(5_000, 2_000, true), (5_000, 1_000, false), (32, 300_000, false), (33, 300_000, true)])
    func namesThatRowsWouldRepeatTooOftenStandInColumns(size: Int, rows: Int, inColumns: Bool) throws {
        let test = TestArena()
        var request = sluice_request()
        request.operation = UInt32(SLUICE_OPERATION_INFER)
        request.payload.kind = UInt32(SLUICE_PAYLOAD_TENSORS)
        request.payload.tensors = named(size, rows: rows, test)
        request.payload.tensor_count = 2
        var message = sluice_message()
        let codec = RestPredictProtocol(PredictOptions())
        _ = try codec.encodeRequest(request, for: sluice_target(), into: &message, arena: test.arena)
        #expect(message.body[0].slice(0, 9).text == (inColumns ? "{\"inputs\"" : "{\"instanc"))
        // A client that asked in rows is told why it gets none.
        var response = sluice_response()
        response.operation = request.operation
        response.payload = request.payload
        let refusal = failure { () throws(CodecFailure) in
            try codec.encode(response, to: sluice_request(), into: &message, arena: test.arena)
        }
        #expect((refusal?.contains("in the column format") ?? false) == inColumns, "\(refusal ?? "written")")
    }
}
