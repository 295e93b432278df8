import SluiceJSON
import SluiceProtobuf

/// tensorflow.DataType, as far as the unified request has the types: those that are complex, quantised or no numbers
/// have no counterpart.
enum TensorFlowDatatype {
    static func datatype(_ number: Int32) -> Datatype? {
        switch number {
        case 1: .fp32
        case 2: .fp64
        case 3: .int32
        case 4: .uint8
        case 5: .int16
        case 6: .int8
        case 7: .bytes
        case 9: .int64
        case 10: .bool
        case 14: .bf16
        case 17: .uint16
        case 19: .fp16
        case 22: .uint32
        case 23: .uint64
        default: nil
        }
    }

    static func number(_ datatype: Datatype) -> UInt64 {
        switch datatype {
        case .fp32: 1
        case .fp64: 2
        case .int32: 3
        case .uint8: 4
        case .int16: 5
        case .int8: 6
        case .bytes: 7
        case .int64: 9
        case .bool: 10
        case .bf16: 14
        case .uint16: 17
        case .fp16: 19
        case .uint32: 22
        case .uint64: 23
        }
    }

    /// The field of TensorProto that lists values of a datatype, and how they lie in it.
    static func values(_ datatype: Datatype) -> (number: UInt32, type: WireType) {
        switch datatype {
        case .fp32: (5, .fixed32)
        case .fp64: (6, .fixed64)
        case .int32, .int16, .int8, .uint8, .uint16: (7, .varint)
        case .bytes: (8, .bytes)
        case .int64: (10, .varint)
        case .bool: (11, .varint)
        case .fp16, .bf16: (13, .varint)
        case .uint32: (16, .varint)
        case .uint64: (17, .varint)
        }
    }

    /// The fields of TensorProto that list values, of whatever type.
    static func listsValues(_ number: UInt32) -> Bool { (5...17).contains(number) }
}
