import SluiceABI

@testable import Host

/// A payload as values, to make C views from and to compare: all that a deep copy must keep.
struct PayloadText: Equatable {
    struct Parameter: Equatable {
        var name: [UInt8]
        var kind: UInt32
        var integer: Int64 = 0
        var number: Double = 0
        var text: [UInt8] = []
    }

    struct Tensor: Equatable {
        var name: [UInt8]
        var datatype: Int32
        var shape: [Int64]
        var data: [UInt8]
        var region: [UInt8] = []
        var regionOffset: UInt64 = 0
        var regionSize: UInt64 = 0
        var parameters: [Parameter] = []
    }

    struct Output: Equatable {
        var name: [UInt8]
        var flags: UInt32
        var parameters: [Parameter] = []
    }

    var kind = UInt32(SLUICE_PAYLOAD_TENSORS)
    var flags: UInt32 = 0
    var contentType: [UInt8] = []
    var raw: [UInt8] = []
    var tensors: [Tensor] = []
    var outputs: [Output] = []
    var parameters: [Parameter] = []
}

extension PayloadText {
    init(_ payload: sluice_payload) {
        func bytes(_ view: sluice_bytes) -> [UInt8] { Array(UnsafeBufferPointer(start: view.data, count: view.size)) }
        func parameters(_ first: UnsafePointer<sluice_parameter>?, _ count: UInt32) -> [Parameter] {
            UnsafeBufferPointer(start: first, count: Int(count)).map {
                Parameter(
                    name: bytes($0.name), kind: $0.kind, integer: $0.integer, number: $0.number, text: bytes($0.text))
            }
        }
        kind = payload.kind
        flags = payload.flags
        contentType = bytes(payload.content_type)
        raw = bytes(payload.raw)
        tensors = UnsafeBufferPointer(start: payload.tensors, count: Int(payload.tensor_count)).map {
            Tensor(
                name: bytes($0.name), datatype: Int32($0.datatype),
                shape: Array(UnsafeBufferPointer(start: $0.shape, count: Int($0.rank))), data: bytes($0.data),
                region: bytes($0.region), regionOffset: $0.region_offset, regionSize: $0.region_size,
                parameters: parameters($0.parameters, $0.parameter_count))
        }
        outputs = UnsafeBufferPointer(start: payload.outputs, count: Int(payload.output_count)).map {
            Output(name: bytes($0.name), flags: $0.flags, parameters: parameters($0.parameters, $0.parameter_count))
        }
        self.parameters = parameters(payload.parameters, payload.parameter_count)
    }

    /// Calls `body` with the same as C views, whose memory is overwritten and freed before this returns.
    func withViews<Result>(_ body: (sluice_payload) throws -> Result) rethrows -> Result {
        let memory = ViewMemory()
        defer { memory.wipe() }
        return try body(
            sluice_payload(
                kind: kind, flags: flags, content_type: memory.bytes(contentType), raw: memory.bytes(raw),
                tensors: memory.array(
                    tensors.map {
                        sluice_tensor(
                            name: memory.bytes($0.name), datatype: UInt32($0.datatype), rank: UInt32($0.shape.count),
                            shape: memory.array($0.shape), data: memory.bytes($0.data),
                            region: memory.bytes($0.region), region_offset: $0.regionOffset,
                            region_size: $0.regionSize, parameters: memory.parameters($0.parameters),
                            parameter_count: UInt32($0.parameters.count), reserved: 0)
                    }), tensor_count: UInt32(tensors.count), output_count: UInt32(outputs.count),
                outputs: memory.array(
                    outputs.map {
                        sluice_output(
                            name: memory.bytes($0.name), parameters: memory.parameters($0.parameters),
                            parameter_count: UInt32($0.parameters.count), flags: $0.flags)
                    }), parameters: memory.parameters(parameters), parameter_count: UInt32(parameters.count),
                reserved: 0))
    }
}

/// Memory of C views; wiped at the end, so that a view which outlives it shows other bytes.
private final class ViewMemory {
    private var blocks: [UnsafeMutableRawBufferPointer] = []

    func array<Element>(_ elements: [Element]) -> UnsafePointer<Element>? {
        if elements.isEmpty { return nil }
        let block = UnsafeMutableRawBufferPointer.allocate(
            byteCount: elements.count * MemoryLayout<Element>.stride, alignment: 16)
        blocks.append(block)
        let first = block.bindMemory(to: Element.self)
        _ = first.initialize(from: elements)
        return UnsafePointer(first.baseAddress)
    }

    func bytes(_ text: [UInt8]) -> sluice_bytes { sluice_bytes(data: array(text), size: text.count) }

    func parameters(_ parameters: [PayloadText.Parameter]) -> UnsafePointer<sluice_parameter>? {
        array(
            parameters.map {
                sluice_parameter(
                    name: bytes($0.name), kind: $0.kind, reserved: 0, integer: $0.integer, number: $0.number,
                    text: bytes($0.text))
            })
    }

    func wipe() {
        for block in blocks {
            _ = block.initializeMemory(as: UInt8.self, repeating: 0xEE)
            block.deallocate()
        }
        blocks = []
    }
}
