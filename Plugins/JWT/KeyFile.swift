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
    private var seen: RegularFile.Identity?
    private let isRunning = Atomic<Bool>(false)
    private let finding = Mutex<Finding?>(nil)

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
        do throws(RegularFile.Failure) {
            let file = try RegularFile(path)
            let identity = file.identity
            if identity == seen { return .unchanged }
            let text = try file.content(atMost: KeySetText.bytesAtMost)
            do throws(KeySetFault) {
                let keys = try reading.keys(of: text)
                seen = identity
                return .keys(keys)
            } catch { return failure(error.text) }
        } catch { return failure("it \(error.text)") }
    }

    private func failure(_ text: String) -> Finding {
        seen = nil
        return .failure(text)
    }
}
