import ApiKeyFormat
import Glibc

/// Reads a file of keys, once. On the control thread.
enum KeyFileReading {
    struct Failure: Error {
        /// With the path, without what the file says.
        let text: String
        init(_ text: String) { self.text = text }
    }

    static func entries(_ path: String, atMost count: Int) throws(Failure) -> [KeyFile.Entry] {
        let bytes = try content(path)
        do throws(KeyFile.Problem) {
            return try KeyFile(bytes, entriesAtMost: count).entries
        } catch {
            throw Failure("\(path):\(error.line): \(error.text)")
        }
    }

    private static func content(_ path: String) throws(Failure) -> [UInt8] {
        // Not blocking: a pipe by that name must not hold the gateway up.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else {
            throw Failure("\(path) cannot be opened: \(String(cString: strerror(errno)))")
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else {
            throw Failure("\(path) is no regular file")
        }
        guard status.st_size <= KeyFile.bytesAtMost else {
            throw Failure("\(path) has more than \(KeyFile.bytesAtMost) bytes")
        }
        // One more than there should be, to see that it has grown.
        var bytes = [UInt8](repeating: 0, count: Int(status.st_size) + 1)
        var used = 0
        while used < bytes.count {
            let count = bytes.withUnsafeMutableBytes { read(descriptor, $0.baseAddress! + used, $0.count - used) }
            if count < 0, errno == EINTR { continue }
            if count < 0 { throw Failure("\(path) cannot be read: \(String(cString: strerror(errno)))") }
            if count == 0 { return Array(bytes[..<used]) }
            used += count
        }
        throw Failure("\(path) is being written; rename a new file over the old one instead")
    }
}
