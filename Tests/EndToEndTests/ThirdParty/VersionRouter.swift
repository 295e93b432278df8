// A router by swiftc and the header alone: every request goes to version "@VERSION@" of its model.
import SluiceABI

private func view(_ literal: StaticString) -> sluice_bytes {
    sluice_bytes(data: literal.utf8Start, size: literal.utf8CodeUnitCount)
}

private func equal(_ left: sluice_bytes, _ right: sluice_bytes) -> Bool {
    left.size == right.size && (0..<left.size).allSatisfy { left.data[$0] == right.data[$0] }
}

/// What an instance keeps: where the host's table of models is.
private struct Instance {
    let context: UnsafeMutableRawPointer?
    let models: UnsafePointer<sluice_models>
}

private func make(
    _ host: UnsafePointer<sluice_host>?, _ instance: UnsafeMutablePointer<UnsafeMutableRawPointer?>?
) -> sluice_status {
    guard let host, let instance, let service = host.pointee.service,
        let table = service(host.pointee.context, view("sluice.models/1"))
    else { return SLUICE_UNIMPLEMENTED }
    let place = UnsafeMutablePointer<Instance>.allocate(capacity: 1)
    place.initialize(
        to: Instance(context: host.pointee.context, models: table.assumingMemoryBound(to: sluice_models.self)))
    instance.pointee = UnsafeMutableRawPointer(place)
    return SLUICE_OK
}

private func choose(_ state: Instance, _ decision: UnsafeMutablePointer<sluice_route_decision>) -> sluice_status {
    var count: UInt32 = 0
    guard let all = state.models.pointee.all, let models = all(state.context, &count),
        decision.pointee.model < count
    else { return SLUICE_DECLINE }
    let model = models[Int(decision.pointee.model)]
    for index in 0..<model.version_count where equal(model.versions[Int(index)].name, view("@VERSION@")) {
        decision.pointee.version = index
        return SLUICE_OK
    }
    return SLUICE_NOT_FOUND
}

private func makeTable() -> UnsafePointer<sluice_plugin> {
    let router = UnsafeMutablePointer<sluice_router>.allocate(capacity: 1)
    var table = sluice_router()
    table.base.struct_size = UInt32(MemoryLayout<sluice_router>.size)
    table.base.create = { host, _, instance in make(host, instance) }
    table.base.destroy = { $0?.assumingMemoryBound(to: Instance.self).deallocate() }
    table.route = { instance, _, _, decision in
        guard let instance, let decision else { return SLUICE_INTERNAL }
        return choose(instance.assumingMemoryBound(to: Instance.self).pointee, decision)
    }
    router.initialize(to: table)
    let extensions = UnsafeMutablePointer<sluice_extension>.allocate(capacity: 1)
    extensions.initialize(to: sluice_extension(id: view("sluice.router/1"), table: UnsafeRawPointer(router)))
    var plugin = sluice_plugin()
    plugin.struct_size = UInt32(MemoryLayout<sluice_plugin>.size)
    plugin.abi_version = UInt32(SLUICE_ABI_VERSION)
    plugin.name = view("version-router")
    plugin.version = view("1.0.0")
    plugin.vendor = view("Acme")
    plugin.licence = view("MIT")
    plugin.build_id = view("@VERSION@")
    plugin.extensions = UnsafePointer(extensions)
    plugin.extension_count = 1
    let block = UnsafeMutablePointer<sluice_plugin>.allocate(capacity: 1)
    block.initialize(to: plugin)
    return UnsafePointer(block)
}

private let block = Block(pointer: makeTable())

/// Made once, read by all, never changed.
private struct Block: @unchecked Sendable {
    let pointer: UnsafePointer<sluice_plugin>
}

@c(sluice_plugin_entry) public func entry(host: UInt32) -> UnsafePointer<sluice_plugin>? { block.pointer }
