import SluiceABI

/// What the host's `instance` pointer points to. `type` is the extension's metatype with its witness table: opening it
/// is two loads, so that a call of the host costs one indirect call more than the author's method, and no reference
/// count is touched.
struct InstanceBox<Metatype> {
    let services: UnsafeMutablePointer<HostServices>
    let type: Metatype
    let base: any (PluginExtension & ~Copyable).Type
    /// The author's value.
    let state: UnsafeMutableRawPointer
    /// What was told to the host by pointer: routes, metadata.
    var memory: InstanceMemory?
    /// Of a backend.
    var metadata = sluice_metadata()

    @inline(__always)
    static func at(_ instance: UnsafeMutableRawPointer?) -> UnsafeMutablePointer<InstanceBox> {
        instance.unsafelyUnwrapped.assumingMemoryBound(to: InstanceBox.self)
    }

    /// Empty memory that lives until the instance is destroyed or asks again.
    mutating func freshMemory() -> InstanceMemory {
        memory?.free()
        let fresh = InstanceMemory()
        memory = fresh
        return fresh
    }

    static func destroy(_ instance: UnsafeMutableRawPointer?) {
        guard instance != nil else { return }
        let box = at(instance)
        deallocateState(box.pointee.base, box.pointee.state)
        box.pointee.memory?.free()
        box.pointee.services.deallocate()
        box.deinitialize(count: 1)
        box.deallocate()
    }
}

/// Makes an instance: resolves the services, runs the author's `init`, reports what it throws.
func createInstance<Metatype>(
    _ host: UnsafePointer<sluice_host>?, _ arguments: UnsafePointer<sluice_create>?,
    _ instance: UnsafeMutablePointer<UnsafeMutableRawPointer?>?, _ type: Metatype?,
    _ base: (any (PluginExtension & ~Copyable).Type)?
) -> sluice_status {
    guard let host, let arguments, let instance, let type, let base else { return SLUICE_INVALID_ARGUMENT }
    guard let resolved = HostServices(host) else {
        // The log may be the one that is missing; then the status alone has to tell.
        let log = host.pointee.service?(host.pointee.context, Bytes("sluice.log/1").raw)
        log?.assumingMemoryBound(to: sluice_log.self).pointee.fail?(
            host.pointee.context, Bytes("this gateway lacks a service of ABI 0.1 that the plugin's SDK needs").raw)
        return SLUICE_UNIMPLEMENTED
    }
    let services = UnsafeMutablePointer<HostServices>.allocate(capacity: 1)
    services.initialize(to: resolved)
    do throws(PluginError) {
        let state = try allocateState(base, Context(arguments: arguments, services: services))
        let box = UnsafeMutablePointer<InstanceBox<Metatype>>.allocate(capacity: 1)
        box.initialize(to: InstanceBox(services: services, type: type, base: base, state: state, memory: nil))
        instance.pointee = UnsafeMutableRawPointer(box)
        return SLUICE_OK
    } catch {
        let status = error.report(services)
        services.deallocate()
        return status
    }
}

func allocateState<Extension: PluginExtension & ~Copyable>(
    _ type: Extension.Type, _ context: Context
) throws(PluginError) -> UnsafeMutableRawPointer {
    let value = try Extension(context)
    let state = UnsafeMutablePointer<Extension>.allocate(capacity: 1)
    state.initialize(to: value)
    return UnsafeMutableRawPointer(state)
}

func deallocateState<Extension: PluginExtension & ~Copyable>(_ type: Extension.Type, _ state: UnsafeMutableRawPointer) {
    let value = state.assumingMemoryBound(to: Extension.self)
    value.deinitialize(count: 1)
    value.deallocate()
}

/// The head of an extension's table.
func instanceHead(
    tableSize: Int, instancing: Instancing?,
    create:
        @convention(c) (
            UnsafePointer<sluice_host>?, UnsafePointer<sluice_create>?, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> sluice_status,
    destroy: @convention(c) (UnsafeMutableRawPointer?) -> Void
) -> sluice_instance {
    sluice_instance(
        struct_size: UInt32(tableSize), instancing: (instancing ?? .perWorker).rawValue, create: create,
        destroy: destroy)
}

extension PluginError {
    /// Hands the message to the host and returns the status. An author's code that is no error becomes UNKNOWN: it must
    /// not read as a verdict.
    @inline(never)
    func report(_ services: UnsafePointer<HostServices>) -> sluice_status {
        Log(services: services).fail(message)
        return code.status < 0 ? code.status : SLUICE_UNKNOWN
    }
}
