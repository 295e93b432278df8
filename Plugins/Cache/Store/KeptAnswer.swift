import SluiceABI
import SluicePlugin

/// An answer in unified form as a block of bytes: what a client of any protocol can be answered with again.
public enum KeptAnswer {
    /// The block's size in bytes.
    public static func size(of response: Response) -> Int {
        var counter = BlockWriter()
        write(response.pointer.pointee, to: &counter)
        return counter.size
    }

    /// Writes `response` to `memory`, which has room for its size and is aligned to 16.
    public static func write(_ response: Response, to memory: UnsafeMutablePointer<UInt8>, capacity: Int) {
        var writer = BlockWriter(memory, capacity: capacity)
        write(response.pointer.pointee, to: &writer)
    }

    /// Makes `answer` what the block says. `block` is aligned to 16 and lives as long as the exchange. Model, version
    /// and id stay as the host has filled them in.
    public static func read(
        _ block: UnsafePointer<UInt8>, into answer: MutableResponse, in exchange: Exchange
    ) throws(PluginError) {
        var reader = BlockReader(block)
        answer.pointer.pointee.http_status = UInt32(truncatingIfNeeded: reader.number())
        let hasMessage = reader.number() == 1
        if hasMessage {
            var message = sluice_message()
            message.transport = UInt32(truncatingIfNeeded: reader.number())
            message.status = UInt32(truncatingIfNeeded: reader.number())
            (message.fields, message.field_count) = try fields(&reader, exchange)
            let place = try exchange.allocate(sluice_message.self, count: 1)
            place[0] = message
            answer.pointer.pointee.message = start(of: place)
        }
        let own = try fields(&reader, exchange)
        (answer.pointer.pointee.fields, answer.pointer.pointee.field_count) = own
        var payload = sluice_payload()
        payload.kind = UInt32(truncatingIfNeeded: reader.number())
        payload.flags = UInt32(truncatingIfNeeded: reader.number())
        payload.content_type = reader.bytes()
        payload.raw = reader.bytes(alignment: 16)
        let count = reader.count()
        if count > 0 {
            let tensors = try exchange.allocateZeroed(sluice_tensor.self, count: count)
            for index in 0..<count { tensors[index] = try tensor(&reader, exchange) }
            payload.tensors = start(of: tensors)
            payload.tensor_count = UInt32(count)
        }
        (payload.parameters, payload.parameter_count) = try parameters(&reader, exchange)
        answer.pointer.pointee.payload = payload
    }

    // MARK: Writing

    /// Fields that belong to one connection, tell the length of what is made anew, or are told anew with each use.
    private static func isKept(_ name: sluice_bytes) -> Bool {
        let name = Bytes(name)
        return !name.isFieldOfConnection && !name.equalsIgnoringCase("age") && !name.equalsIgnoringCase("date")
            && !name.equalsIgnoringCase("cache-status") && !name.equalsIgnoringCase("trailer")
    }

    private static func write(_ response: sluice_response, to writer: inout BlockWriter) {
        writer.number(UInt64(response.http_status))
        if let message = response.message?.pointee {
            writer.number(1)
            writer.number(UInt64(message.transport))
            writer.number(UInt64(message.status))
            fields(message.fields, message.field_count, to: &writer)
        } else {
            writer.number(0)
        }
        fields(response.fields, response.field_count, to: &writer)
        let payload = response.payload
        writer.number(UInt64(payload.kind))
        writer.number(UInt64(payload.flags))
        writer.bytes(payload.content_type)
        writer.bytes(payload.raw, alignment: 16)
        writer.number(UInt64(payload.tensor_count))
        for index in 0..<Int(payload.tensor_count) {
            guard let tensor = payload.tensors?[index] else { break }
            writer.head(of: tensor)
            writer.bytes(tensor.data, alignment: 16)
            writer.parameters(tensor.parameters, tensor.parameter_count)
        }
        writer.parameters(payload.parameters, payload.parameter_count)
    }

    private static func fields(_ list: UnsafePointer<sluice_field>?, _ count: UInt32, to writer: inout BlockWriter) {
        var kept = 0
        for index in 0..<Int(count) where list.map({ isKept($0[index].name) }) == true { kept += 1 }
        writer.number(kept)
        guard let list, kept > 0 else { return }
        for index in 0..<Int(count) where isKept(list[index].name) {
            writer.bytes(list[index].name)
            writer.bytes(list[index].value)
        }
    }

    // MARK: Reading

    private static func fields(
        _ reader: inout BlockReader, _ exchange: Exchange
    ) throws(PluginError) -> (UnsafePointer<sluice_field>?, UInt32) {
        let count = reader.count()
        guard count > 0 else { return (nil, 0) }
        let fields = try exchange.allocate(sluice_field.self, count: count)
        for index in 0..<count {
            let name = reader.bytes()
            fields[index] = sluice_field(name: name, value: reader.bytes())
        }
        return (start(of: fields), UInt32(count))
    }

    private static func start<Element>(of view: MutableView<Element>) -> UnsafePointer<Element>? {
        view.withUnsafeMutableBytes { UnsafePointer($0.baseAddress?.assumingMemoryBound(to: Element.self)) }
    }

    private static func tensor(
        _ reader: inout BlockReader, _ exchange: Exchange
    ) throws(PluginError) -> sluice_tensor {
        var tensor = sluice_tensor()
        tensor.name = reader.bytes()
        tensor.datatype = UInt32(truncatingIfNeeded: reader.number())
        let rank = reader.count()
        if rank > 0 {
            let shape = try exchange.allocate(Int64.self, count: rank)
            for index in 0..<rank { shape[index] = Int64(bitPattern: reader.number()) }
            tensor.shape = start(of: shape)
        }
        tensor.rank = UInt32(rank)
        tensor.data = reader.bytes(alignment: 16)
        (tensor.parameters, tensor.parameter_count) = try parameters(&reader, exchange)
        return tensor
    }

    private static func parameters(
        _ reader: inout BlockReader, _ exchange: Exchange
    ) throws(PluginError) -> (UnsafePointer<sluice_parameter>?, UInt32) {
        let count = reader.count()
        guard count > 0 else { return (nil, 0) }
        let list = try exchange.allocateZeroed(sluice_parameter.self, count: count)
        for index in 0..<count {
            list[index].name = reader.bytes()
            list[index].kind = UInt32(truncatingIfNeeded: reader.number())
            list[index].integer = Int64(bitPattern: reader.number())
            list[index].number = Double(bitPattern: reader.number())
            list[index].text = reader.bytes()
        }
        return (start(of: list), UInt32(count))
    }
}
