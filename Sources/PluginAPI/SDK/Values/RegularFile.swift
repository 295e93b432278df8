import Glibc

/// A regular file, open to be read whole: keys, certificates, lists. A pipe or a device by its name is refused, and
/// holds nobody up. Opening and reading may wait for the disk: on the control thread, or on a thread of the plugin's or
/// of the pool. Relative paths mean other files where the gateway is started from another directory: see
/// `Configuration.absolutePath()`.
public struct RegularFile: ~Copyable {
    /// Which file it is, and which content it has: one that is equal to an earlier one need not be read again. Times
    /// have the grain of the kernel's clock, some milliseconds: of two writes in place within one, of as many bytes,
    /// the second goes unseen, and is one more reason to rename a new file over the old one.
    public struct Identity: Equatable, Sendable {
        private let device: UInt
        private let node: UInt
        /// In bytes.
        public let size: Int
        /// Of its last writing, seconds and nanoseconds.
        private let written: [Int]
        /// Of its last change of any kind, which goes on where a program sets the time of writing back (inode(7)).
        private let changed: [Int]

        init(_ status: stat) {
            device = UInt(status.st_dev)
            node = UInt(status.st_ino)
            size = Int(status.st_size)
            written = [status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
            changed = [status.st_ctim.tv_sec, status.st_ctim.tv_nsec]
        }

        /// Whether an open file has been written to in between. One whose name went to another has changed, and has
        /// its content still.
        func hasContent(of other: Self) -> Bool { size == other.size && written == other.written }
    }

    /// Why it cannot be opened or read: `text` goes on where "it" or the path has begun, and holds nothing of the file.
    public struct Failure: Error, Equatable {
        public let text: String
    }

    public let identity: Identity
    private let descriptor: Int32

    public init(_ path: String) throws(Failure) {
        // Not blocking: to open a pipe that nobody writes to would wait for a writer (fifo(7)).
        let opened = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY)
        guard opened >= 0 else { throw Failure(text: "cannot be opened: \(Self.reason)") }
        var status = stat()
        guard fstat(opened, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            close(opened)
            throw Failure(text: "is no regular file")
        }
        descriptor = opened
        identity = Identity(status)
    }

    deinit { close(descriptor) }

    /// All of it, once. A write while it is read is seen by the file's size or time, and refused: half of it would be
    /// taken for the whole. A writer in place that pauses in the middle is not seen; renaming has no middle.
    public consuming func content(atMost bound: Int) throws(Failure) -> [UInt8] {
        guard identity.size <= bound else { throw Self.tooLarge(bound) }
        // By pieces, up to its end: some file systems say no size before they are read.
        var content: [UInt8] = []
        content.reserveCapacity(identity.size)
        var piece = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = read(descriptor, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw Failure(text: "cannot be read: \(Self.reason)") }
            if count == 0 { break }
            guard content.count + count <= bound else { throw Self.tooLarge(bound) }
            content.append(contentsOf: piece[..<count])
        }
        var status = stat()
        guard fstat(descriptor, &status) == 0, identity.hasContent(of: Identity(status)) else {
            throw Failure(text: "changed while it was read; rename a new file over the old one instead")
        }
        return content
    }

    private static var reason: String { String(cString: strerror(errno)) }

    private static func tooLarge(_ bound: Int) -> Failure { Failure(text: "has more than \(bound) bytes") }
}
