import SluiceABI

/// A kind of extension that this host knows: what its table must look like.
struct ExtensionKind: Sendable {
    let id: String
    /// `struct_size` that the table must state. Layouts are final, so that it is never another one.
    let size: Int
    /// The functions that may not be NULL, by their offset in the table.
    let mandatory: [(name: String, offset: Int)]

    private init<Table>(
        _ id: String, _ table: Table.Type, _ base: PartialKeyPath<Table>,
        _ mandatory: [(name: String, field: PartialKeyPath<Table>)]
    ) {
        self.id = id
        size = MemoryLayout<Table>.stride
        // Every table begins with a `sluice_instance`; fields of an imported C struct all have an offset.
        let start = MemoryLayout<Table>.offset(of: base) ?? 0
        let create = start + (MemoryLayout<sluice_instance>.offset(of: \.create) ?? 0)
        let destroy = start + (MemoryLayout<sluice_instance>.offset(of: \.destroy) ?? 0)
        self.mandatory =
            [("create", create), ("destroy", destroy)]
            + mandatory.compactMap { entry in
                MemoryLayout<Table>.offset(of: entry.field).map { (entry.name, $0) }
            }
    }

    /// By the header's comments: what is not marked "optional" must be there.
    static let known: [ExtensionKind] = [
        ExtensionKind(
            SLUICE_ADAPTER, sluice_adapter.self, \.base,
            [
                ("routes", \.routes), ("decode", \.decode), ("encode", \.encode), ("encode_error", \.encode_error),
                ("encode_request", \.encode_request), ("decode_response", \.decode_response),
            ]),
        ExtensionKind(SLUICE_ROUTER, sluice_router.self, \.base, [("route", \.route)]),
        ExtensionKind(SLUICE_BALANCER, sluice_balancer.self, \.base, [("pick", \.pick)]),
        ExtensionKind(SLUICE_BALANCER_2, sluice_balancer_2.self, \.base, [("pick", \.pick)]),
        ExtensionKind(
            SLUICE_BATCHER, sluice_batcher.self, \.base, [("enqueue", \.enqueue), ("on_timer", \.on_timer)]),
        ExtensionKind(
            SLUICE_FILTER, sluice_filter.self, \.base, [("needs", \.needs), ("on_request", \.on_request)]),
        ExtensionKind(
            SLUICE_FILTER_2, sluice_filter_2.self, \.base, [("needs", \.needs), ("on_request", \.on_request)]),
        ExtensionKind(
            SLUICE_BACKEND, sluice_backend.self, \.base, [("infer", \.infer), ("describe", \.describe)]),
        ExtensionKind(SLUICE_OBSERVER, sluice_observer.self, \.base, [("on_finish", \.on_finish)]),
        ExtensionKind(
            SLUICE_DISCOVERY, sluice_discovery.self, \.base, [("start", \.start), ("stop", \.stop)]),
        ExtensionKind(
            SLUICE_DISCOVERY_2, sluice_discovery_2.self, \.base, [("start", \.start), ("stop", \.stop)]),
    ]

    static func named(_ id: String) -> ExtensionKind? { known.first { $0.id == id } }

    /// Checks a table of this kind.
    func check(_ table: UnsafeRawPointer) throws(ImageFault) {
        let stated = table.load(as: UInt32.self)
        guard Int(stated) == size else {
            throw ImageFault(
                .extensionInvalid,
                "its table \(id) states a struct_size of \(stated), and here it is \(size); set it to "
                    + "sizeof, and build with the sluice/plugin.h of this host")
        }
        let instancing = table.load(fromByteOffset: MemoryLayout<UInt32>.size, as: UInt32.self)
        guard instancing == SLUICE_INSTANCE_PER_WORKER || instancing == SLUICE_INSTANCE_SHARED else {
            throw ImageFault(
                .extensionInvalid,
                "its table \(id) has the instancing \(instancing); use one of SLUICE_INSTANCE_*")
        }
        for (name, offset) in mandatory where table.load(fromByteOffset: offset, as: UInt.self) == 0 {
            throw ImageFault(.extensionInvalid, "its table \(id) has no function `\(name)`, which is mandatory")
        }
    }
}
