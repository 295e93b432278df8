import SluiceABI

/// A plugin that is loaded. It lives as long as the process: images are never unmapped, so that its pointers are valid
/// for ever. Made by `ImageRegistry` alone. [main]; the tables may be read on any thread.
public final class PluginImage {
    /// SHA-256 of the file, in lower-case hexadecimal digits. It is the image's identity.
    public let digest: String
    /// The resolved path that it was first loaded from.
    public let path: String
    /// Bytes of the file.
    public let size: Int
    /// What `sluice_plugin_entry` returned.
    public let entry: UnsafePointer<sluice_plugin>
    public let name: String
    public let version: String
    /// Empty when the plugin says nothing; likewise the two that follow.
    public let vendor: String
    public let licence: String
    public let buildID: String
    /// What it offers, in its own order: 1 to 16 extensions, ids unique, at least one of them known to this host. The
    /// tables of known kinds have been checked: their size, their instancing, and every mandatory function.
    public let extensions: [(id: String, table: UnsafeRawPointer)]

    init(
        digest: String, path: String, size: Int, entry: UnsafePointer<sluice_plugin>, description: ImageDescription
    ) {
        self.digest = digest
        self.path = path
        self.size = size
        self.entry = entry
        name = description.name
        version = description.version
        vendor = description.vendor
        licence = description.licence
        buildID = description.buildID
        extensions = description.extensions.enumerated().compactMap { index, offer in
            entry.pointee.extensions[index].table.map { (offer.id, $0) }
        }
    }

    /// The table of extension `id` (SLUICE_BALANCER, …) as the struct that the id names; nil when the plugin does not
    /// offer it, or when its `struct_size` is not that of `Table`.
    public func table<Table>(_ id: String, as type: Table.Type) -> UnsafePointer<Table>? {
        guard let offer = extensions.first(where: { $0.id == id }),
            Int(offer.table.load(as: UInt32.self)) == MemoryLayout<Table>.stride
        else { return nil }
        return offer.table.assumingMemoryBound(to: Table.self)
    }
}
