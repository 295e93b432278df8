/// How many instances of an extension there are.
@frozen
public enum Instancing: UInt32, Sendable {
    /// One instance a worker, called by that worker alone.
    case perWorker = 0
    /// One instance, called by all workers at once. The type does its own synchronisation: its methods must not be
    /// `mutating`, and what they change must be atomics or `SharedCounters`.
    case shared = 1
}

/// What every extension has. A type that conforms may be non-copyable, so that it can keep atomics or own a resource;
/// its `deinit`, or that of what it holds, runs when the host destroys the instance.
///
/// A method must not trap: Swift cannot turn a trap back into an error, so it ends the gateway. Index what comes from
/// outside with `at`, add with `&+` or `addingReportingOverflow`.
public protocol PluginExtension: ~Copyable {
    /// What the plugin is; the first extension's is the one that counts.
    static var plugin: PluginDescription { get }
    /// `perWorker` unless said.
    static var instancing: Instancing { get }
    /// Makes an instance on the control thread. The only place where the configuration can be read, metrics declared and
    /// state blocks taken.
    init(_ context: Context) throws(PluginError)
}

extension PluginExtension where Self: ~Copyable {
    public static var instancing: Instancing { .perWorker }
}
