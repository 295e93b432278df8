import CLinux
import Glibc
import SluiceABI

/// A deep copy of a payload in one block of memory, which may cross to another worker; arenas never do. It
/// holds fields as well: an answer's, or those that were set in a request; and a request's tenant.
struct TensorBlock {
    /// Its size stands first in it.
    let memory: UnsafeMutableRawPointer
    let payload: UnsafeMutablePointer<sluice_payload>
    let fields: UnsafeBufferPointer<sluice_field>
    let tenant: sluice_bytes

    func deallocate() { Self.deallocate(memory) }

    static func deallocate(_ memory: UnsafeMutableRawPointer) {
        SharedBlocks.give(memory, memory.load(as: Int.self))
    }

    /// Copies `payload`, of its tensors only `rows` from `first` on along the first dimension; all of them when nil.
    /// BYTES tensors are cut element by element. Nil when a tensor has no such rows.
    init?(
        _ source: sluice_payload, first: Int = 0, rows: Int? = nil,
        fields: UnsafeBufferPointer<sluice_field> = UnsafeBufferPointer(start: nil, count: 0),
        tenant: sluice_bytes = .empty
    ) {
        let count = Int(source.tensor_count)
        // On the stack, but for very many.
        let made = withUnsafeTemporaryAllocation(of: Slice.self, capacity: count) { slices -> TensorBlock? in
            for index in 0..<count {
                guard let slice = Slice(source.tensors[index], first: first, rows: rows) else { return nil }
                slices.initializeElement(at: index, to: slice)
            }
            return TensorBlock(source, slices, rows, fields, tenant)
        }
        guard let made else { return nil }
        self = made
    }

    /// `slices`: of each tensor.
    private init(
        _ source: sluice_payload, _ slices: UnsafeMutableBufferPointer<Slice>, _ rows: Int?,
        _ given: UnsafeBufferPointer<sluice_field>, _ asker: sluice_bytes
    ) {
        let size = Self.size(of: source, slices, given, asker)
        memory = SharedBlocks.take(size)
        memory.storeBytes(of: size, as: Int.self)
        var cursor = Cursor(next: memory + Self.aligned(MemoryLayout<Int>.size))
        payload = cursor.take(sluice_payload.self, 1)
        var value = source
        let tensors = cursor.take(sluice_tensor.self, slices.count)
        for index in 0..<slices.count {
            var tensor = source.tensors[index]
            tensor.name = cursor.copy(tensor.name)
            tensor.region = cursor.copy(tensor.region)
            let shape = cursor.take(Int64.self, Int(tensor.rank))
            if tensor.rank > 0 {
                shape.update(from: source.tensors[index].shape, count: Int(tensor.rank))
                if let rows { shape[0] = Int64(rows) }
            }
            tensor.shape = UnsafePointer(shape)
            tensor.data = cursor.copy(sluice_bytes(data: slices[index].start, size: slices[index].size))
            tensor.parameters = cursor.copy(tensor.parameters, tensor.parameter_count)
            (tensors + index).initialize(to: tensor)
        }
        value.tensors = UnsafePointer(tensors)
        let outputs = cursor.take(sluice_output.self, Int(source.output_count))
        for index in 0..<Int(source.output_count) {
            var output = source.outputs[index]
            output.name = cursor.copy(output.name)
            output.parameters = cursor.copy(output.parameters, output.parameter_count)
            (outputs + index).initialize(to: output)
        }
        value.outputs = UnsafePointer(outputs)
        value.parameters = cursor.copy(source.parameters, source.parameter_count)
        value.raw = cursor.copy(source.raw)
        value.content_type = cursor.copy(source.content_type)
        payload.initialize(to: value)
        let copies = cursor.take(sluice_field.self, given.count)
        for index in 0..<given.count {
            let field = given[index]
            (copies + index).initialize(
                to: sluice_field(name: cursor.copy(field.name), value: cursor.copy(field.value)))
        }
        fields = UnsafeBufferPointer(start: copies, count: given.count)
        tenant = cursor.copy(asker)
    }

    private static func size(
        of source: sluice_payload, _ slices: UnsafeMutableBufferPointer<Slice>,
        _ fields: UnsafeBufferPointer<sluice_field>, _ tenant: sluice_bytes
    ) -> Int {
        var size = aligned(MemoryLayout<Int>.size) + MemoryLayout<sluice_payload>.stride
        for index in 0..<slices.count {
            let tensor = source.tensors[index]
            size += MemoryLayout<sluice_tensor>.stride + aligned(tensor.name.size) + aligned(slices[index].size)
            size += aligned(tensor.region.size)
            size += aligned(Int(tensor.rank) * 8) + Self.size(of: tensor.parameters, tensor.parameter_count)
        }
        for index in 0..<Int(source.output_count) {
            let output = source.outputs[index]
            size += MemoryLayout<sluice_output>.stride + aligned(output.name.size)
            size += Self.size(of: output.parameters, output.parameter_count)
        }
        size += Self.size(of: source.parameters, source.parameter_count)
        size += aligned(source.raw.size) + aligned(source.content_type.size) + 64
        size += aligned(fields.count * MemoryLayout<sluice_field>.stride)
        for field in fields { size += aligned(field.name.size) + aligned(field.value.size) }
        return size + aligned(tenant.size)
    }

    private struct Slice {
        var start: UnsafePointer<UInt8>?
        var size: Int

        init?(_ tensor: sluice_tensor, first: Int, rows: Int?) {
            start = tensor.data.data
            size = tensor.data.size
            guard let rows else { return }
            // Bytes in a region of shared memory are not at hand to be cut.
            guard tensor.rank > 0, tensor.region.isEmpty, first >= 0, rows >= 0 else { return nil }
            let total = Int(tensor.shape[0])
            guard rows <= total, first <= total - rows else { return nil }
            if Int32(tensor.datatype) == SLUICE_DATATYPE_BYTES {
                guard let elements = Self.elementsOfRow(tensor),
                    let begin = Self.skip(elements, first, in: tensor.data, from: 0),
                    let end = Self.skip(elements, rows, in: tensor.data, from: begin)
                else { return nil }
                start = tensor.data.data.map { $0 + begin }
                size = end - begin
                return
            }
            guard total > 0, tensor.data.size % total == 0 else { return nil }
            let row = tensor.data.size / total
            start = tensor.data.data.map { $0 + first * row }
            size = rows * row
        }

        /// Nil when the shape is none: it may be an endpoint's own words.
        private static func elementsOfRow(_ tensor: sluice_tensor) -> Int? {
            let dimensions = 1..<max(Int(tensor.rank), 1)
            for axis in dimensions where tensor.shape[axis] < 0 { return nil }
            for axis in dimensions where tensor.shape[axis] == 0 { return 0 }
            var elements = 1
            for axis in dimensions {
                let product = elements.multipliedReportingOverflow(by: Int(tensor.shape[axis]))
                if product.overflow { return nil }
                elements = product.partialValue
            }
            return elements
        }

        /// Where `rows` rows of length-prefixed elements end that begin at `from`.
        private static func skip(_ elements: Int, _ rows: Int, in bytes: sluice_bytes, from: Int) -> Int? {
            let count = elements.multipliedReportingOverflow(by: rows)
            // An element has at least its length: more than fit are not there.
            guard !count.overflow, count.partialValue <= (bytes.size - from) / 4 else { return nil }
            var place = from
            for _ in 0..<count.partialValue {
                guard let data = bytes.data, place + 4 <= bytes.size else { return nil }
                let length = UnsafeRawPointer(data + place).loadUnaligned(as: UInt32.self)
                place += 4 + Int(UInt32(littleEndian: length))
                guard place <= bytes.size else { return nil }
            }
            return place
        }
    }

    private static func aligned(_ size: Int) -> Int { (size + 15) & ~15 }

    private static func size(of parameters: UnsafePointer<sluice_parameter>?, _ count: UInt32) -> Int {
        var size = Int(count) * MemoryLayout<sluice_parameter>.stride + 16
        for index in 0..<Int(count) {
            guard let parameter = parameters?[index] else { break }
            size += aligned(parameter.name.size) + aligned(parameter.text.size)
        }
        return size
    }

    private struct Cursor {
        var next: UnsafeMutableRawPointer

        mutating func take<Element>(_ type: Element.Type, _ count: Int) -> UnsafeMutablePointer<Element> {
            let place = next.bindMemory(to: type, capacity: count)
            next += aligned(count * MemoryLayout<Element>.stride)
            return place
        }

        mutating func copy(_ bytes: sluice_bytes) -> sluice_bytes {
            guard let data = bytes.data, bytes.size > 0 else { return .empty }
            let place = take(UInt8.self, bytes.size)
            place.update(from: data, count: bytes.size)
            return sluice_bytes(place, bytes.size)
        }

        mutating func copy(
            _ parameters: UnsafePointer<sluice_parameter>?, _ count: UInt32
        ) -> UnsafePointer<sluice_parameter>? {
            guard let parameters, count > 0 else { return nil }
            let copies = take(sluice_parameter.self, Int(count))
            for index in 0..<Int(count) {
                var parameter = parameters[index]
                parameter.name = copy(parameter.name)
                parameter.text = copy(parameter.text)
                (copies + index).initialize(to: parameter)
            }
            return UnsafePointer(copies)
        }
    }
}
