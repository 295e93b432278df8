import SluiceABI

extension Exchange {
    /// The C table behind `allocate` with the context to pass to it, for code that is written over the header alone and
    /// shared with plugins that are not Swift's. [worker]
    public var memory: (table: UnsafePointer<sluice_memory>, context: UnsafeMutableRawPointer?) {
        (services.pointee.memory, services.pointee.context)
    }
}
