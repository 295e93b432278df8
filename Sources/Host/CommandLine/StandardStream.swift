import Glibc

/// Standard output or standard error, unbuffered: a command says little, and an error must not wait for an exit.
enum StandardStream: Int32 {
    case output = 1
    case error = 2

    /// Opens /dev/null for those of the standard descriptors that the process began without: the first socket or event
    /// counter would get the number else, and take what is written here.
    static func openMissing() {
        var descriptor: Int32
        repeat { descriptor = open("/dev/null", O_RDWR) } while (0...2).contains(descriptor)
        if descriptor > 2 { close(descriptor) }
    }

    /// Writes all of `text`, or gives up when nobody can read it.
    /// - Returns: 0, or the error number that tells why some of it is not written.
    @discardableResult func write(_ text: String) -> Int32 {
        let bytes = Array(text.utf8)
        var written = 0
        while written < bytes.count {
            let count = bytes[written...].withUnsafeBytes { Glibc.write(rawValue, $0.baseAddress, $0.count) }
            if count > 0 {
                written += count
            } else if count < 0, errno == EAGAIN {
                var polled = pollfd(fd: rawValue, events: Int16(POLLOUT), revents: 0)
                poll(&polled, 1, -1)
            } else if count == 0 {
                return EIO
            } else if errno != EINTR {
                return errno
            }
        }
        return 0
    }
}
