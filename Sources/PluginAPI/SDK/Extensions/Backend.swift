import SluiceABI

/// What a backend says of a request.
@frozen
public enum BackendVerdict: Int32, Sendable {
    case answered = 0
    /// The answer comes later: see `Exchange.suspension`.
    case pending = 4
}

/// What a model takes and gives.
public struct ModelDescription: Sendable {
    /// A tensor; -1 in the shape is any size.
    public struct Tensor: Sendable {
        public var name: String
        public var dataType: DataType
        public var shape: [Int64]

        public init(_ name: String, _ dataType: DataType, shape: [Int64]) {
            self.name = name
            self.dataType = dataType
            self.shape = shape
        }
    }

    public var name: String
    public var versions: [String]
    public var platform: String
    public var inputs: [Tensor]
    public var outputs: [Tensor]

    public init(name: String, versions: [String], platform: String, inputs: [Tensor], outputs: [Tensor]) {
        self.name = name
        self.versions = versions
        self.platform = platform
        self.inputs = inputs
        self.outputs = outputs
    }
}

/// Serves one version of a model in this process.
public protocol Backend: PluginExtension, ~Copyable {
    /// Read once, after `init`, on the control thread.
    var description: ModelDescription { get }
    /// The request's payload holds tensors, or raw bytes. On the worker.
    mutating func infer(
        _ request: Request, into response: MutableResponse, exchange: Exchange
    ) throws(PluginError) -> BackendVerdict
}

/// The C functions of a backend's table.
enum BackendTable {
    typealias Box = InstanceBox<any (Backend & ~Copyable).Type>
    nonisolated(unsafe) static var type: (any (Backend & ~Copyable).Type)?

    static func make() -> sluice_backend {
        var table = sluice_backend()
        table.base = instanceHead(
            tableSize: MemoryLayout<sluice_backend>.size, instancing: type?.instancing,
            create: { host, arguments, instance in
                let status = createInstance(host, arguments, instance, BackendTable.type, BackendTable.type)
                // `describe` may come on the worker, where nothing may be made any more.
                if status >= 0 {
                    let box = Box.at(instance?.pointee)
                    box.pointee.metadata = BackendTable.store(
                        BackendTable.description(box.pointee.type, box.pointee.state), box.pointee.freshMemory())
                }
                return status
            },
            destroy: { instance in Box.destroy(instance) })
        table.infer = { instance, exchange, request, response in
            let box = Box.at(instance)
            return BackendTable.infer(
                box.pointee.type, box.pointee.state, box.pointee.services, exchange, request, response)
        }
        table.describe = { instance, metadata in
            metadata?.pointee = Box.at(instance).pointee.metadata
            return SLUICE_OK
        }
        return table
    }

    @inline(__always)
    static func infer<Extension: Backend & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer, _ services: UnsafePointer<HostServices>,
        _ exchange: OpaquePointer?, _ request: UnsafePointer<sluice_request>?,
        _ response: UnsafeMutablePointer<sluice_response>?
    ) -> sluice_status {
        do throws(PluginError) {
            return try state.assumingMemoryBound(to: Extension.self).pointee.infer(
                Request(request.unsafelyUnwrapped), into: MutableResponse(response.unsafelyUnwrapped),
                exchange: Exchange(exchange, services)
            ).rawValue
        } catch { return error.report(services) }
    }

    static func description<Extension: Backend & ~Copyable>(
        _ type: Extension.Type, _ state: UnsafeMutableRawPointer
    ) -> ModelDescription {
        state.assumingMemoryBound(to: Extension.self).pointee.description
    }

    static func store(_ description: ModelDescription, _ memory: InstanceMemory) -> sluice_metadata {
        func specifications(_ tensors: [ModelDescription.Tensor]) -> UnsafePointer<sluice_tensor_spec>? {
            memory.array(
                tensors.map {
                    sluice_tensor_spec(
                        name: memory.bytes($0.name), datatype: $0.dataType.rawValue, rank: UInt32($0.shape.count),
                        shape: memory.array($0.shape))
                })
        }
        return sluice_metadata(
            name: memory.bytes(description.name), version: sluice_bytes(),
            versions: memory.array(description.versions.map { memory.bytes($0) }),
            version_count: UInt32(description.versions.count), input_count: UInt32(description.inputs.count),
            output_count: UInt32(description.outputs.count), reserved: 0,
            platform: memory.bytes(description.platform), inputs: specifications(description.inputs),
            outputs: specifications(description.outputs))
    }
}
