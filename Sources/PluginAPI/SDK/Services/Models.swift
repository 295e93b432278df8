import SluiceABI

/// A version of a model.
@frozen
public struct ModelVersion: ListElement {
    public let pointer: UnsafePointer<sluice_version>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_version>) { self.pointer = pointer }

    /// The key that clients ask for.
    @inlinable public var name: Bytes { Bytes(pointer.pointee.name) }
    /// Id of the pool of its endpoints.
    @inlinable public var pool: UInt32 { pointer.pointee.pool }
    @inlinable public var weight: UInt32 { pointer.pointee.weight }
    @inlinable public var upstreamModel: Bytes { Bytes(pointer.pointee.upstream_model) }
    /// Empty when the backend is asked without one.
    @inlinable public var upstreamVersion: Bytes { Bytes(pointer.pointee.upstream_version) }
}

/// A name for a version, which the operator moves from one to another.
@frozen
public struct VersionLabel: ListElement {
    public let name: Bytes
    /// Index into the model's versions.
    public let version: Int

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_label>) {
        name = Bytes(pointer.pointee.name)
        version = Int(pointer.pointee.version)
    }
}

/// A model of the gateway.
@frozen
public struct Model: ListElement {
    public let pointer: UnsafePointer<sluice_model>

    @inlinable @inline(__always)
    public init(_ pointer: UnsafePointer<sluice_model>) { self.pointer = pointer }

    @inlinable public var name: Bytes { Bytes(pointer.pointee.name) }
    /// In the order of the configuration.
    @inlinable public var versions: List<ModelVersion> {
        List(pointer.pointee.versions, count: pointer.pointee.version_count)
    }
    @inlinable public var labels: List<VersionLabel> {
        List(pointer.pointee.labels, count: pointer.pointee.label_count)
    }
}

/// The gateway's models. Ids are stable within a generation.
@frozen
public struct Models: @unchecked Sendable {
    @usableFromInline let services: UnsafePointer<HostServices>

    @inlinable
    init(services: UnsafePointer<HostServices>) { self.services = services }

    @inlinable public var all: List<Model> {
        var count: UInt32 = 0
        let start = services.pointee.models.pointee.all.unsafelyUnwrapped(services.pointee.context, &count)
        return List(start, count: count)
    }

    /// A model's id, its index in `all`.
    @inlinable
    public func find(_ name: Bytes) -> UInt32? {
        ModelID.optional(services.pointee.models.pointee.find.unsafelyUnwrapped(services.pointee.context, name.raw))
    }
}

extension Models {
    /// The id of the model that a configuration names; throws at `node` where the gateway has none of that name. Legal
    /// in `init` only.
    public func id(of name: String, at node: Configuration) throws(PluginError) -> UInt32 {
        guard let found = KeptText(name).withBytes({ find($0) }) else {
            throw node.error("no model is named '\(name)'; list it under `models`")
        }
        return found
    }
}
