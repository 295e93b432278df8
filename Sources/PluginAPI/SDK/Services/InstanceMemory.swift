import SluiceABI

/// C arrays and texts that live as long as an instance: what it tells the host by pointer. Made on the control thread.
final class InstanceMemory {
    private var blocks: [UnsafeMutableRawPointer] = []

    func array<Element: BitwiseCopyable>(_ elements: [Element]) -> UnsafePointer<Element>? {
        guard !elements.isEmpty else { return nil }
        let block = UnsafeMutablePointer<Element>.allocate(capacity: elements.count)
        for (index, element) in elements.enumerated() { (block + index).initialize(to: element) }
        blocks.append(UnsafeMutableRawPointer(block))
        return UnsafePointer(block)
    }

    func bytes(_ text: String) -> sluice_bytes {
        let utf8 = Array(text.utf8)
        return sluice_bytes(data: array(utf8), size: utf8.count)
    }

    func free() {
        for block in blocks { block.deallocate() }
        blocks = []
    }
}
