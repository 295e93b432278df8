import CLinux
import Glibc
import SluiceABI

/// A deep copy of a payload in one block of memory, which may cross to another worker; arenas never do.
struct TensorBlock {
    let memory: UnsafeMutableRawPointer
    let payload: UnsafeMutablePointer<sluice_payload>

    func deallocate() { memory.deallocate() }

    /// Copies `payload`, of its tensors only `rows` from `first` on along the first dimension; all of them when nil.
    /// BYTES tensors are cut element by element. Nil when a tensor has no such rows.
    init?(_ source: sluice_payload, first: Int = 0, rows: Int? = nil) {
        var slices: [Slice] = []
        var size = MemoryLayout<sluice_payload>.stride
        for index in 0..<Int(source.tensor_count) {
            guard let slice = Slice(source.tensors[index], first: first, rows: rows) else { return nil }
            slices.append(slice)
            let tensor = source.tensors[index]
            size += MemoryLayout<sluice_tensor>.stride + Self.aligned(tensor.name.size) + Self.aligned(slice.size)
            size += Self.aligned(Int(tensor.rank) * 8) + Self.size(of: tensor.parameters, tensor.parameter_count)
        }
        for index in 0..<Int(source.output_count) {
            let output = source.outputs[index]
            size += MemoryLayout<sluice_output>.stride + Self.aligned(output.name.size)
            size += Self.size(of: output.parameters, output.parameter_count)
        }
        size += Self.size(of: source.parameters, source.parameter_count) + 64

        memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 16)
        var cursor = Cursor(next: memory)
        payload = cursor.take(sluice_payload.self, 1)
        var value = source
        let tensors = cursor.take(sluice_tensor.self, slices.count)
        for (index, slice) in slices.enumerated() {
            var tensor = source.tensors[index]
            tensor.name = cursor.copy(tensor.name)
            let shape = cursor.take(Int64.self, Int(tensor.rank))
            if tensor.rank > 0 {
                shape.update(from: source.tensors[index].shape, count: Int(tensor.rank))
                if let rows { shape[0] = Int64(rows) }
            }
            tensor.shape = UnsafePointer(shape)
            tensor.data = cursor.copy(sluice_bytes(data: slice.start, size: slice.size))
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
        value.raw = .empty
        value.content_type = .empty
        payload.initialize(to: value)
    }

    private struct Slice {
        var start: UnsafePointer<UInt8>?
        var size: Int

        init?(_ tensor: sluice_tensor, first: Int, rows: Int?) {
            start = tensor.data.data
            size = tensor.data.size
            guard let rows else { return }
            guard tensor.rank > 0, Int(tensor.shape[0]) >= first + rows else { return nil }
            let total = Int(tensor.shape[0])
            if Int32(tensor.datatype) == SLUICE_DATATYPE_BYTES {
                var elements = 1
                for axis in 1..<max(Int(tensor.rank), 1) { elements *= Int(tensor.shape[axis]) }
                guard let begin = Self.offset(tensor.data, after: first * elements),
                    let end = Self.offset(tensor.data, after: (first + rows) * elements)
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

        /// Where the element after `count` length-prefixed ones begins.
        private static func offset(_ bytes: sluice_bytes, after count: Int) -> Int? {
            var place = 0
            for _ in 0..<count {
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
