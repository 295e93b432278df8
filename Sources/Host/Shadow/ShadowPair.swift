import SluiceABI

/// A request and its copy, each an exchange of the same worker, until both have ended. Whichever ends last tells the
/// plugin and frees this.
struct ShadowPair {
    let done: (@convention(c) (UnsafeMutableRawPointer?, UnsafePointer<sluice_shadow_outcome>?) -> Void)?
    let user: UnsafeMutableRawPointer?
    /// The adapter that decoded the request decodes the copy.
    let adapter: UnsafeMutablePointer<AdapterLink>
    /// The plugin hears of the copy's end alone, too.
    let tellsCopy: Bool
    /// The client's address as plugins are told it, in the copy's memory.
    var peer = sluice_bytes()
    var outcome = sluice_shadow_outcome()
    /// All of the copy's answer is there.
    var copyAnswered = false
    /// How many of the two have not ended.
    var open: UInt8 = 2
    /// Copies that wait for the end of the worker's turn.
    var exchange: UnsafeMutablePointer<Exchange>?
    var next: UnsafeMutablePointer<ShadowPair>?
}
