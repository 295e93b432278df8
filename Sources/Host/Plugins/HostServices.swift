import CLinux
import Glibc
import Configuration
import SluiceABI

/// The services of the host as C function tables; see the header for what each promises.
enum HostServices {
    /// `sluice_host.service`. [any]
    static let find: @convention(c) (UnsafeMutableRawPointer?, sluice_bytes) -> UnsafeRawPointer? = { _, id in
        for entry in tables where entry.id == id { return entry.table }
        return nil
    }

    private nonisolated(unsafe) static let tables: [(id: sluice_bytes, table: UnsafeRawPointer)] = [
        (sluice_bytes("sluice.log/1"), table(log)),
        (sluice_bytes("sluice.clock/1"), table(clock)),
        (sluice_bytes("sluice.memory/1"), table(memory)),
        (sluice_bytes("sluice.config/1"), table(configuration)),
        (sluice_bytes("sluice.metrics/1"), table(metrics)),
        (sluice_bytes("sluice.timer/1"), table(timer)),
        (sluice_bytes("sluice.offload/1"), table(offload)),
        (sluice_bytes("sluice.exchange/1"), table(exchange)),
        (sluice_bytes("sluice.state/1"), table(state)),
        (sluice_bytes("sluice.models/1"), table(models)),
        (sluice_bytes("sluice.route/1"), table(route)),
        (sluice_bytes("sluice.fields/1"), table(fields)),
        (sluice_bytes("sluice.gather/1"), table(gather)),
        (sluice_bytes("sluice.asked/1"), table(asked)),
        (sluice_bytes("sluice.rules/1"), table(rules)),
        (sluice_bytes("sluice.shadow/1"), table(shadow)),
    ]

    /// A table at an address that stays for the life of the process.
    private static func table<Table>(_ value: Table) -> UnsafeRawPointer {
        let place = UnsafeMutablePointer<Table>.allocate(capacity: 1)
        place.initialize(to: value)
        return UnsafeRawPointer(place)
    }

    static func size<Table>(_ type: Table.Type) -> UInt32 { UInt32(MemoryLayout<Table>.size) }

    private static let log = sluice_log(
        struct_size: size(sluice_log.self), reserved: 0,
        enabled: { _, level in HostLog.enabled(level) },
        write: { context, level, message in
            guard let context = InstanceContext.from(context), !context.warn(level, message), HostLog.enabled(level)
            else { return }
            let source = UnsafeRawBufferPointer(context.source)
            guard context.redaction.isEmpty else {
                var cleaned = context.redaction.clean(message.text)
                return cleaned.withUTF8 { HostLog.write(level, source: source, message: UnsafeRawBufferPointer($0)) }
            }
            HostLog.write(
                level, source: source, message: UnsafeRawBufferPointer(start: message.data, count: message.size))
        },
        fail: { context, message in
            guard let context = InstanceContext.from(context) else { return }
            if let worker = CurrentWorker.get() {
                worker.setFailure(message)
            } else if context.isCalledOnMain {
                context.failure = context.redaction.clean(message.cut(atMost: Worker.failureBound).text)
            }
        })

    private static let clock = sluice_clock(
        struct_size: size(sluice_clock.self), reserved: 0,
        monotonic_ns: { _ in clinux_monotonic_ns() }, wall_ns: { _ in clinux_wall_ns() })

    static let memory = sluice_memory(
        struct_size: size(sluice_memory.self), reserved: 0,
        arena_alloc: { _, handle, size in
            guard let handle else { return nil }
            let exchange = ExchangePointer(handle)
            guard let worker = exchange.pointee.worker else { return nil }
            return worker._withUnsafeGuaranteedRef { UnsafeMutableRawPointer($0.allocate(exchange, UInt8.self, size)) }
        },
        buffer_new: { _, capacity in CountedBuffers.make(capacity) },
        buffer_retain: { _, buffer in if let buffer { CountedBuffers.retain(buffer) } },
        buffer_release: { _, buffer in if let buffer { CountedBuffers.release(buffer) } },
        buffer_adopt: { _, handle, buffer in
            guard let handle, let buffer else { return }
            let exchange = ExchangePointer(handle)
            exchange.pointee.worker?._withUnsafeGuaranteedRef { $0.adopt(exchange, buffer) }
        })

    private static let metrics = sluice_metrics(
        struct_size: size(sluice_metrics.self), reserved: 0,
        declare: { context, kind, name, description, labels, count in
            guard let context = InstanceContext.from(context) else { return SLUICE_NONE }
            var pairs: [(name: String, value: String)] = []
            for index in 0..<Int(count) {
                guard let label = labels?[index] else { break }
                // Prometheus takes no other text than UTF-8, and mending it would make one label of two.
                guard let value = String(validating: label.value.array, as: UTF8.self) else { return SLUICE_NONE }
                pairs.append((label.name.text, value))
            }
            return context.declare(kind: kind, name: name.text, description: description.text, labels: pairs)
                ?? SLUICE_NONE
        },
        add: { context, metric, amount in
            InstanceContext.with(context) { $0.metrics.add(metric: metric, amount: amount) }
        },
        record: { context, metric, value in
            InstanceContext.with(context) { $0.metrics.record(metric: metric, value: value) }
        })

    private static let timer = sluice_timer(
        struct_size: size(sluice_timer.self), reserved: 0,
        start: { context, delay, fire, user in
            guard let context = InstanceContext.from(context), let fire else { return 0 }
            return context.startTimer(delay: delay, fire: fire, user: user)
        },
        cancel: { context, timer in
            InstanceContext.from(context)?.cancelTimer(timer)
        })

    private static let offload = sluice_offload(
        struct_size: size(sluice_offload.self), reserved: 0,
        run: { context, work, user in
            guard let context = InstanceContext.from(context), let work else { return SLUICE_INVALID_ARGUMENT }
            return context.environment.offload.run(work, user) ? SLUICE_OK : SLUICE_RESOURCE_EXHAUSTED
        })

    private static let exchange = sluice_exchange_service(
        struct_size: size(sluice_exchange_service.self), reserved: 0,
        token: { _, handle in
            guard let handle else { return 0 }
            let exchange = ExchangePointer(handle)
            return exchange.pointee.worker?._withUnsafeGuaranteedRef { $0.token(of: exchange) } ?? 0
        },
        resume: { context, token in
            guard let instance = InstanceContext.from(context) else { return }
            let worker = Int(token >> 52)
            guard worker < instance.environment.workers.count else { return }
            instance.environment.workers[worker].mailbox.send(.resume, value: token, pointer: context)
        },
        resumed: { _, handle in handle.map { ExchangePointer($0).pointee.isResumed } ?? false },
        peer: { _, handle in
            guard let handle else { return .empty }
            let exchange = ExchangePointer(handle)
            return exchange.pointee.worker?._withUnsafeGuaranteedRef { $0.peerText(exchange) } ?? .empty
        },
        header: { _, handle, name, found in
            found?.pointee = false
            guard let handle, let message = ExchangePointer(handle).pointee.message else { return .empty }
            for index in 0..<Int(message.pointee.field_count)
            where message.pointee.fields[index].name.equalsIgnoringCase(name) {
                found?.pointee = true
                return message.pointee.fields[index].value
            }
            return .empty
        },
        set_field: { _, handle, side, name, value in
            guard let handle else { return SLUICE_INVALID_ARGUMENT }
            let exchange = ExchangePointer(handle)
            return exchange.pointee.worker?._withUnsafeGuaranteedRef { $0.edit(exchange, side, name, value) }
                ?? SLUICE_INTERNAL
        })

    private static let state = sluice_state(
        struct_size: size(sluice_state.self), reserved: 0,
        block: { context, name, size in
            guard let context = InstanceContext.from(context), context.isCreating else { return nil }
            return context.environment.state.block(plugin: context.plugin, name: name.array, size: size)
        })

    private static let models = sluice_models(
        struct_size: size(sluice_models.self), reserved: 0,
        all: { context, count in
            // On the way of a request: without a reference counted up and down.
            InstanceContext.with(context) { context in
                count?.pointee = context.modelCount
                return context.models
            } ?? nil
        },
        find: { context, name in
            InstanceContext.with(context) { $0.modelNames?.find(name) ?? SLUICE_NONE } ?? SLUICE_NONE
        })

    private static let route = sluice_route_service(
        struct_size: size(sluice_route_service.self), reserved: 0,
        set_session: { _, handle, session in
            guard let handle else { return SLUICE_INVALID_ARGUMENT }
            let exchange = ExchangePointer(handle)
            return exchange.pointee.worker?._withUnsafeGuaranteedRef { $0.setSession(exchange, session) }
                ?? SLUICE_INTERNAL
        },
        in_flight: { _, handle, pool in
            guard let handle else { return 0 }
            let exchange = ExchangePointer(handle)
            return exchange.pointee.worker?._withUnsafeGuaranteedRef { $0.inFlight(exchange, pool: pool) } ?? 0
        })

    private static let fields = sluice_fields(
        struct_size: size(sluice_fields.self), reserved: 0,
        add: { _, handle, side, name, value in
            guard let handle else { return SLUICE_INVALID_ARGUMENT }
            let exchange = ExchangePointer(handle)
            return exchange.pointee.worker?._withUnsafeGuaranteedRef {
                $0.edit(exchange, side, name, value, adds: true)
            } ?? SLUICE_INTERNAL
        })

    private static let gather = sluice_gather(
        struct_size: size(sluice_gather.self), reserved: 0,
        answer: { _, handle in
            guard let handle else { return SLUICE_INVALID_ARGUMENT }
            let exchange = ExchangePointer(handle)
            guard exchange.pointee.mayGatherAnswer else { return SLUICE_FAILED_PRECONDITION }
            exchange.pointee.gathersAnswer = true
            return SLUICE_OK
        })

    private static let asked = sluice_asked(
        struct_size: size(sluice_asked.self), reserved: 0,
        request: { _, handle in handle.map { !ExchangePointer($0).pointee.isUnasked } ?? true })

    private static let shadow = sluice_shadow_service(
        struct_size: size(sluice_shadow_service.self), reserved: 0,
        send: { _, handle, copy in
            guard let handle, let copy else { return SLUICE_INVALID_ARGUMENT }
            let exchange = ExchangePointer(handle)
            return exchange.pointee.worker?._withUnsafeGuaranteedRef { $0.sendShadow(exchange, copy.pointee) }
                ?? SLUICE_INTERNAL
        })

    private static let configuration = sluice_config(
        struct_size: size(sluice_config.self), reserved: 0,
        kind: { _, handle in
            switch ConfigurationNode.from(handle)?.node {
            case .none: UInt32(SLUICE_CONFIG_NULL)
            case .scalar(_, _, _)?:
                UInt32(
                    ConfigurationNode.from(handle)?.node.isNull == true ? SLUICE_CONFIG_NULL : SLUICE_CONFIG_SCALAR)
            case .sequence: UInt32(SLUICE_CONFIG_SEQUENCE)
            case .mapping: UInt32(SLUICE_CONFIG_MAPPING)
            }
        },
        count: { _, handle in ConfigurationNode.from(handle)?.children.count ?? 0 },
        at: { _, handle, index, key in
            // `size_t` comes as a signed number: what is beyond its half is negative.
            guard let node = ConfigurationNode.from(handle), node.children.indices.contains(index) else { return nil }
            if let key {
                key.pointee =
                    index < node.keys.count
                    ? sluice_bytes(data: UnsafePointer(node.keys[index].baseAddress), size: node.keys[index].count)
                    : .empty
            }
            return node.children[index].handle
        },
        find: { _, handle, key in
            guard let node = ConfigurationNode.from(handle) else { return nil }
            for (index, name) in node.keys.enumerated()
            where sluice_bytes(data: UnsafePointer(name.baseAddress), size: name.count) == key {
                return node.children[index].handle
            }
            return nil
        },
        text: { context, handle, out in
            guard let node = scalar(context, handle, "a text") else { return false }
            // A number is its text here: a plugin has no other way to take either, such as `per: minute` and `per: 60`.
            guard node.node.text != nil || node.node.number != nil else {
                report(context, node, "expected a text, not \(shown(node)); put it in quotes")
                return false
            }
            out?.pointee = sluice_bytes(data: UnsafePointer(node.text.baseAddress), size: node.text.count)
            return true
        },
        integer: { context, handle, out in
            guard let node = scalar(context, handle, "a whole number") else { return false }
            guard let value = node.node.integer else {
                let isLarge = node.node.kind == .integer
                report(
                    context, node,
                    "expected a whole number"
                        + (isLarge ? " from \(Int64.min) to \(Int64.max)" : ", not \(shown(node))"))
                return false
            }
            out?.pointee = Int64(value)
            return true
        },
        number: { context, handle, out in
            guard let node = scalar(context, handle, "a number") else { return false }
            guard let value = node.node.number else {
                let isLarge = node.node.kind == .integer || node.node.kind == .number
                report(
                    context, node,
                    "expected a number" + (isLarge ? " of at most 1.7e308" : ", not \(shown(node))"))
                return false
            }
            out?.pointee = value
            return true
        },
        boolean: { context, handle, out in
            guard let node = scalar(context, handle, "true or false") else { return false }
            guard let value = node.node.boolean else {
                report(context, node, "expected true or false, not \(shown(node))")
                return false
            }
            out?.pointee = value
            return true
        },
        error: { context, handle, message in
            InstanceContext.from(context)?.report(ConfigurationNode.from(handle), message.text)
        })

    private static func scalar(
        _ context: UnsafeMutableRawPointer?, _ handle: OpaquePointer?, _ expected: String
    ) -> ConfigurationNode? {
        guard let node = ConfigurationNode.from(handle) else { return nil }
        if case .scalar = node.node { return node }
        report(context, node, "expected \(expected), not a list or mapping")
        return nil
    }

    /// A value of another type than the plugin wants, as the message names it: by its kind, for under `config` there
    /// may be keys and passwords.
    private static func shown(_ node: ConfigurationNode) -> String {
        guard case .scalar(_, let quoted, _) = node.node else { return "a list or mapping" }
        if node.isSecret { return Redaction.replacement }
        return quoted ? "a text; leave its quotes out" : node.node.kind.rawValue
    }

    private static func report(_ context: UnsafeMutableRawPointer?, _ node: ConfigurationNode, _ message: String) {
        InstanceContext.from(context)?.report(node, message)
    }
}

/// The worker of the calling thread, for services that have no exchange to find it by.
enum CurrentWorker {
    private static let key: pthread_key_t = {
        var key = pthread_key_t()
        pthread_key_create(&key, nil)
        return key
    }()

    static func set(_ worker: Worker) { pthread_setspecific(key, Unmanaged.passUnretained(worker).toOpaque()) }

    static func get() -> Worker? {
        pthread_getspecific(key).map { Unmanaged<Worker>.fromOpaque($0).takeUnretainedValue() }
    }
}
