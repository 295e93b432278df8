import SluiceABI

/// The C tables of the fake host's services.
final class ServiceTables {
    private var places: [String: UnsafeMutableRawPointer] = [:]

    func table(_ id: String) -> UnsafeRawPointer? { places[id].map { UnsafeRawPointer($0) } }

    private func add<Table>(_ id: String, _ table: Table) {
        let place = UnsafeMutablePointer<Table>.allocate(capacity: 1)
        place.initialize(to: table)
        places[id] = UnsafeMutableRawPointer(place)
    }

    deinit {
        for place in places.values { place.deallocate() }
    }

    init() {
        addLogAndClock()
        addMemory()
        addConfiguration()
        addMetrics()
        addTimersAndOffload()
        addExchange()
        addState()
        addRouting()
        add("sluice.rules/1", FakeRules.table())
        add("sluice.shadow/1", FakeShadows.table())
    }

    private func size<Table>(_ type: Table.Type) -> UInt32 { UInt32(MemoryLayout<Table>.size) }

    private func addLogAndClock() {
        add(
            "sluice.log/1",
            sluice_log(
                struct_size: size(sluice_log.self), reserved: 0,
                enabled: { context, level in level <= FakeHost.of(context).logLevel },
                write: { context, level, message in FakeHost.of(context).write(level, text(message)) },
                fail: { context, message in FakeHost.of(context).fail(text(message)) }))
        add(
            "sluice.clock/1",
            sluice_clock(
                struct_size: size(sluice_clock.self), reserved: 0,
                monotonic_ns: { FakeHost.of($0).monotonic }, wall_ns: { FakeHost.of($0).wall }))
    }

    private func addMemory() {
        add(
            "sluice.memory/1",
            sluice_memory(
                struct_size: size(sluice_memory.self), reserved: 0,
                arena_alloc: { context, exchange, size in
                    FakeExchange.of(exchange).allocate(size, bound: FakeHost.of(context).arenaBound)
                },
                buffer_new: { _, capacity in FakeBuffer.make(capacity) },
                buffer_retain: { _, buffer in FakeBuffer.of(buffer).retain() },
                buffer_release: { _, buffer in FakeBuffer.of(buffer).release() },
                buffer_adopt: { _, exchange, buffer in
                    FakeExchange.of(exchange).adopt(FakeBuffer.of(buffer))
                }))
    }

    private func addConfiguration() {
        add(
            "sluice.config/1",
            sluice_config(
                struct_size: size(sluice_config.self), reserved: 0,
                kind: { _, node in FakeConfiguration.node(node)?.kind ?? UInt32(SLUICE_CONFIG_NULL) },
                count: { _, node in FakeConfiguration.node(node)?.children.count ?? 0 },
                at: { _, node, index, key in
                    guard let children = FakeConfiguration.node(node)?.children, index < children.count else {
                        return nil
                    }
                    key?.pointee = children[index].keyBytes
                    return children[index].opaque
                },
                find: { _, node, key in
                    let name = text(key)
                    return FakeConfiguration.node(node)?.children.first { $0.key == name }?.opaque
                },
                text: { context, node, out in
                    guard let found = FakeConfiguration.scalar(context, node, "text") else { return false }
                    out?.pointee = found.textBytes
                    return true
                },
                integer: { context, node, out in
                    guard let found = FakeConfiguration.scalar(context, node, "an integer") else { return false }
                    guard let value = Int64(found.text) else { return found.mismatch(context, "an integer") }
                    out?.pointee = value
                    return true
                },
                number: { context, node, out in
                    guard let found = FakeConfiguration.scalar(context, node, "a number") else { return false }
                    guard let value = Double(found.text) else { return found.mismatch(context, "a number") }
                    out?.pointee = value
                    return true
                },
                boolean: { context, node, out in
                    guard let found = FakeConfiguration.scalar(context, node, "true or false") else { return false }
                    guard let value = Bool(found.text) else { return found.mismatch(context, "true or false") }
                    out?.pointee = value
                    return true
                },
                error: { context, node, message in
                    FakeHost.of(context).configurationError(FakeConfiguration.node(node)?.path ?? "", text(message))
                }))
    }

    private func addMetrics() {
        add(
            "sluice.metrics/1",
            sluice_metrics(
                struct_size: size(sluice_metrics.self), reserved: 0,
                declare: { context, kind, name, _, labels, count in
                    let pairs = UnsafeBufferPointer(start: labels, count: Int(count))
                    return FakeHost.of(context).declare(kind, text(name), pairs.map { text($0.value) })
                },
                add: { FakeHost.of($0).add($1, $2) }, record: { FakeHost.of($0).record($1, $2) }))
    }

    private func addTimersAndOffload() {
        add(
            "sluice.timer/1",
            sluice_timer(
                struct_size: size(sluice_timer.self), reserved: 0,
                start: { FakeHost.of($0).startTimer($1, $2, $3) }, cancel: { FakeHost.of($0).cancelTimer($1) }))
        add(
            "sluice.offload/1",
            sluice_offload(
                struct_size: size(sluice_offload.self), reserved: 0, run: { FakeHost.of($0).offload($1, $2) }))
    }

    private func addExchange() {
        add(
            "sluice.exchange/1",
            sluice_exchange_service(
                struct_size: size(sluice_exchange_service.self), reserved: 0,
                token: { FakeExchange.of($1).token },
                resume: { FakeHost.of($0).resume($1) },
                resumed: { FakeExchange.of($1).isResumed },
                peer: { FakeExchange.of($1).peerBytes },
                header: { _, exchange, name, found in
                    let value = FakeExchange.of(exchange).header(text(name))
                    found?.pointee = value != nil
                    return value ?? sluice_bytes()
                },
                set_field: { FakeExchange.of($1).setField($2, text($3), $4) }))
    }

    private func addRouting() {
        add(
            "sluice.route/1",
            sluice_route_service(
                struct_size: size(sluice_route_service.self), reserved: 0,
                set_session: { FakeExchange.of($1).setSession($2) },
                in_flight: { FakeHost.of($0).inFlight[$2] ?? 0 }))
        add(
            "sluice.fields/1",
            sluice_fields(
                struct_size: size(sluice_fields.self), reserved: 0,
                add: { FakeExchange.of($1).setField($2, text($3), $4, adds: true) }))
        add(
            "sluice.gather/1",
            sluice_gather(
                struct_size: size(sluice_gather.self), reserved: 0,
                answer: { FakeExchange.of($1).gatherAnswer() }))
        add(
            "sluice.asked/1",
            sluice_asked(
                struct_size: size(sluice_asked.self), reserved: 0, request: { FakeExchange.of($1).isAsked }))
    }

    private func addState() {
        add(
            "sluice.state/1",
            sluice_state(
                struct_size: size(sluice_state.self), reserved: 0,
                block: { FakeHost.of($0).stateBlock(text($1), $2) }))
        add(
            "sluice.models/1",
            sluice_models(
                struct_size: size(sluice_models.self), reserved: 0,
                all: { context, count in
                    let models = FakeHost.of(context).models
                    count?.pointee = UInt32(models.names.count)
                    return models.array
                },
                find: { context, name in
                    let name = text(name)
                    return FakeHost.of(context).models.names.firstIndex(of: name).map(UInt32.init) ?? UInt32.max
                }))
    }
}
