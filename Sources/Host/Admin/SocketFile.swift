import Glibc

/// The file of a Unix socket that this process made. Whoever has put another there meanwhile keeps it. [main]
struct SocketFile {
    let path: String
    private let device: UInt64
    private let inode: UInt64

    /// Of the file that stands at `path` now; nil when there is none.
    init?(path: String) {
        var information = stat()
        guard lstat(path, &information) == 0 else { return nil }
        self.path = path
        device = UInt64(information.st_dev)
        inode = UInt64(information.st_ino)
    }

    /// Takes the file away, if it still is that one.
    func remove() {
        var information = stat()
        if lstat(path, &information) == 0, UInt64(information.st_dev) == device, UInt64(information.st_ino) == inode {
            unlink(path)
        }
    }
}
