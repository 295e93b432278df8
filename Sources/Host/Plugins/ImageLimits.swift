/// Bounds of what a process loads. Images are never unmapped, so that each new one stays until the process ends.
public struct ImageLimits: Equatable, Sendable {
    /// Bytes of one file. A plugin with a Swift runtime of its own has 6 to 9 MB; a quarter of a gibibyte also takes
    /// one that carries a model's weights, and stops a mistaken path (a disk image, a log) before it fills the memory.
    public var fileBytes = 256 << 20
    /// Images. Each holds a descriptor, and 1024 is the usual bound of those in a process; at ten plugins that change
    /// in every reload 256 are enough for 25 deployments between two restarts.
    public var count = 256
    /// Bytes of all images' files, which the kernel keeps in memory (and can swap out) as long as they are mapped.
    public var bytes = 1 << 30

    public init() {}
}
