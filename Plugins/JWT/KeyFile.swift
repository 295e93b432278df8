import Glibc
import SluicePlugin
import Synchronization
import TokenFormat
import TokenKeys

/// Where keys come from, and how they are read.
struct KeyReading: Sendable {
    var algorithms: [Algorithm]
    var rsaAlgorithm: Algorithm

    func keys(of text: [UInt8]) throws(KeySetFault) -> KeySet {
        try KeySet(KeySetText.read(text, algorithms: algorithms, rsaAlgorithm: rsaAlgorithm))
    }
}

/// A file with a set of keys, looked at now and then on a thread of the pool. It is read when it is another file, or
/// has another content, than at the last look; what is wrong with it is looked at again each time.
final class KeyFile: OffloadTarget, @unchecked Sendable {
    /// What a look found.
    enum Finding: Sendable {
        case unchanged
        case keys(KeySet)
        case failure(String)
    }

    let path: String
    private let reading: KeyReading
    private var seen: Identity?
    private let isRunning = Atomic<Bool>(false)
    private let finding = Mutex<Finding?>(nil)

    /// Which file, and which content of it.
    private struct Identity: Equatable {
        var device: UInt
        var node: UInt
        var size: Int
        var modified: [Int]
    }

    init(_ path: String, _ reading: KeyReading) {
        self.path = path
        self.reading = reading
    }

    /// False while a look is under way. [worker]
    func begin() -> Bool { !isRunning.exchange(true, ordering: .acquiringAndReleasing) }

    /// The look that `begin` allowed will not come. [worker]
    func abandon() { isRunning.store(false, ordering: .releasing) }

    /// What the last look found, once. [worker]
    func takeFinding() -> Finding? {
        finding.withLock { found in
            defer { found = nil }
            return found
        }
    }

    override func run() {
        let found = look()
        finding.withLock { $0 = found }
        isRunning.store(false, ordering: .releasing)
    }

    /// Looks at the file. [main in create, then one thread of the pool at a time]
    func look() -> Finding {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return failure("it cannot be opened: \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            return failure("it is no regular file")
        }
        let identity = Identity(
            device: UInt(status.st_dev), node: UInt(status.st_ino), size: Int(status.st_size),
            modified: [
                status.st_mtim.tv_sec, status.st_mtim.tv_nsec, status.st_ctim.tv_sec, status.st_ctim.tv_nsec,
            ])
        if identity == seen { return .unchanged }
        guard let text = content(descriptor) else {
            return failure("it is larger than \(KeySetText.bytesAtMost) bytes, or cannot be read")
        }
        do throws(KeySetFault) {
            let keys = try reading.keys(of: text)
            seen = identity
            return .keys(keys)
        } catch { return failure(error.text) }
    }

    private func failure(_ text: String) -> Finding {
        seen = nil
        return .failure(text)
    }

    private func content(_ descriptor: Int32) -> [UInt8]? {
        var text: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &piece, piece.count)
            if count == 0 { return text }
            guard count > 0, text.count + count <= KeySetText.bytesAtMost else { return nil }
            text.append(contentsOf: piece[..<count])
        }
    }
}
