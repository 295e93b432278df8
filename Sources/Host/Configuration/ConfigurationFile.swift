import Glibc

/// A configuration file's bytes, read within ``Bounds``.
enum ConfigurationFile {
    static func read(_ path: String) -> Result<[UInt8], Refusal> {
        // O_NONBLOCK: opening a FIFO without a writer would wait for one (open(2)).
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return refusal(path, "cannot be opened: \(reason(errno)); check `--config`") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { return refusal(path, "cannot be read: \(reason(errno))") }
        switch status.st_mode & S_IFMT {
        case S_IFREG: break
        case S_IFDIR: return refusal(path, "is a directory; name the file in it, such as `plugins.yaml`")
        default: return refusal(path, "is not a regular file; a reload must be able to read it again")
        }
        guard status.st_size <= Bounds.fileBytes else {
            return refusal(
                path, "has \(status.st_size) bytes, more than the \(Bounds.fileBytes) allowed; is it a configuration?")
        }
        return contents(descriptor, path)
    }

    /// Reads up to one byte more than allowed: the file may have grown since its size was asked for.
    private static func contents(_ descriptor: CInt, _ path: String) -> Result<[UInt8], Refusal> {
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 65_536)
        while bytes.count <= Bounds.fileBytes {
            let count = Glibc.read(descriptor, &chunk, chunk.count)
            if count == 0 { return .success(bytes) }
            if count > 0 {
                bytes += chunk[..<count]
            } else if errno != EINTR {
                return refusal(path, "cannot be read: \(reason(errno))")
            }
        }
        return refusal(path, "has more than the \(Bounds.fileBytes) bytes allowed; is it a configuration?")
    }

    private static func refusal(_ path: String, _ message: String) -> Result<[UInt8], Refusal> {
        let position = Position(file: path, line: 1, column: 1)
        return .failure(Refusal(diagnostic: Diagnostic(.error, position, "the configuration \(message)")))
    }

    private static func reason(_ code: CInt) -> String { String(cString: strerror(code)) }

    static func directory(of path: String) -> String {
        guard let slash = path.utf8.lastIndex(of: UInt8(ascii: "/")) else { return "." }
        return slash == path.startIndex ? "/" : String(path[..<slash])
    }

    /// From the current directory, without a slash at the end.
    static func absolute(_ directory: String) -> String {
        var result = directory
        while result.utf8.count > 1, result.hasSuffix("/") { result.removeLast() }
        guard !result.hasPrefix("/") else { return result }
        guard let current = getcwd(nil, 0) else { return "/" + result }
        defer { free(current) }
        let prefix = String(cString: current)
        if result.isEmpty || result == "." { return prefix }
        return (prefix == "/" ? "" : prefix) + "/" + result
    }
}
