import SluiceABI
import Synchronization

/// Texts of the configuration that exchanges point to. The ABI lets an exchange refer to static storage but not to an
/// instance's memory, which may go at a reload while the exchange lives. So these stay for the life of the process,
/// each distinct text once: what reloads with new names leave behind is their few bytes.
public enum StaticText {
    private struct Table: @unchecked Sendable {
        var texts: [String: sluice_bytes] = [:]
    }

    private static let table = Mutex(Table())

    /// The text in static storage. For `create` alone: it allocates, and locks out other threads that do the same.
    public static func keep(_ text: String) -> sluice_bytes {
        table.withLock { table in
            if let kept = table.texts[text] {
                return kept
            }
            let utf8 = Array(text.utf8)
            guard !utf8.isEmpty else { return sluice_bytes() }
            let memory = UnsafeMutablePointer<UInt8>.allocate(capacity: utf8.count)
            memory.update(from: utf8, count: utf8.count)
            let kept = sluice_bytes(data: memory, size: utf8.count)
            table.texts[text] = kept
            return kept
        }
    }
}
