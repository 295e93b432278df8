import CLinux
import COpenSSL
import ELF
import Glibc

/// A plugin's file, read once into memory that nobody can change any more. Closed and unmapped when released, unless
/// its descriptor was kept.
final class ImageFile {
    /// The resolved path.
    let path: String
    /// A sealed memory file.
    let descriptor: Int32
    /// All of it, mapped for reading. Valid as long as this object.
    let bytes: UnsafeRawBufferPointer
    /// SHA-256 of the bytes.
    let digest: [UInt8]
    private var keepsDescriptor = false

    private init(path: String, descriptor: Int32, bytes: UnsafeRawBufferPointer, digest: [UInt8]) {
        self.path = path
        self.descriptor = descriptor
        self.bytes = bytes
        self.digest = digest
    }

    deinit {
        munmap(UnsafeMutableRawPointer(mutating: bytes.baseAddress), bytes.count)
        if !keepsDescriptor { close(descriptor) }
    }

    /// Leaves the descriptor open for the life of the process. The dynamic linker knows the image by the name
    /// /proc/self/fd/N: were N reused, it would answer with this image for another file.
    func keepDescriptor() { keepsDescriptor = true }

    /// Whatever in the kernel holds a page of the file for a moment (compaction, a look at which pages are used) makes
    /// sealing fail with EBUSY, though nobody can write to it. Each attempt waits some 150 ms for the page by itself
    /// (memfd_wait_for_pins in mm/memfd.c), so that eight are a second of patience, once in a reload. [main]
    private static func seal(_ descriptor: Int32) -> Bool {
        for _ in 0..<8 {
            if clinux_seal(descriptor) == 0 { return true }
            guard clinux_errno() == EBUSY else { return false }
        }
        return false
    }

    /// Resolves `path`, checks who could have written it, and reads it. [main]
    static func read(
        path: String, allowGroupWritable: Bool, limit: Int
    ) throws(ImageFault) -> ImageFile {
        let resolved = try resolve(path)
        let source = try open(resolved, allowGroupWritable: allowGroupWritable)
        defer { close(source.descriptor) }
        guard source.size > 0 else { throw ImageFault(ELFFault.empty) }
        guard source.size <= limit else {
            throw ImageFault(
                .tooLarge, "it has \(source.size) bytes, and at most \(limit) are taken; is it the plugin's .so file?")
        }
        let target = clinux_sealable_file("sluice-plugin")
        guard target >= 0 else { throw systemFault("memfd_create") }
        var isComplete = false
        defer { if !isComplete { close(target) } }
        try copy(source.descriptor, to: target, size: source.size)
        guard seal(target) else { throw systemFault("sealing the memory file") }
        // Read what was sealed, not what was read: from here on the bytes that are checked are those that get loaded.
        guard let map = mmap(nil, source.size, PROT_READ, MAP_PRIVATE, target, 0), map != MAP_FAILED else {
            throw systemFault("mmap")
        }
        let bytes = UnsafeRawBufferPointer(start: map, count: source.size)
        guard let digest = sha256(bytes) else {
            munmap(map, source.size)
            throw ImageFault(.system, "libcrypto computes no SHA-256; check its configuration (FIPS, providers)")
        }
        isComplete = true
        return ImageFile(path: resolved, descriptor: target, bytes: bytes, digest: digest)
    }

    /// The path without symbolic links: a deployment often switches versions by one.
    private static func resolve(_ path: String) throws(ImageFault) -> String {
        guard !path.utf8.contains(0), !path.isEmpty else {
            throw ImageFault(.notFound, "this is no path; name the .so file")
        }
        guard let resolved = realpath(path, nil) else { throw openFault(clinux_errno()) }
        defer { free(resolved) }
        return String(cString: resolved)
    }

    private static func openFault(_ error: Int32) -> ImageFault {
        switch error {
        case ENOENT, ENOTDIR:
            return ImageFault(.notFound, "there is no such file; check the path")
        case ELOOP:
            return ImageFault(
                .changedWhileReading, "a symbolic link took its place, or links run in a circle; try again")
        case ENXIO:
            return ImageFault(.notRegularFile, "it is no regular file; name the .so file")
        default:
            return ImageFault(
                .unreadable,
                "it cannot be opened (\(systemErrorText(error))); give user \(geteuid()) the right to read it")
        }
    }

    /// Opens a file that only root or the user who runs this process could have put there.
    private static func open(
        _ path: String, allowGroupWritable: Bool
    ) throws(ImageFault) -> (descriptor: Int32, size: Int) {
        let slash = path.lastIndex(of: "/") ?? path.startIndex
        let directoryPath = slash == path.startIndex ? "/" : String(path[..<slash])
        // From the directory that is checked, the file is opened: nobody can exchange the one for the other between.
        let directory = clinux_open_path(directoryPath, O_DIRECTORY | O_NOFOLLOW)
        guard directory >= 0 else { throw openFault(clinux_errno()) }
        defer { close(directory) }
        // Without O_NONBLOCK, opening a FIFO would wait for its writer.
        let name = path == "/" ? "." : String(path[path.index(after: slash)...])
        let descriptor = openat(directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw openFault(clinux_errno()) }
        var isAccepted = false
        defer { if !isAccepted { close(descriptor) } }
        var file = stat()
        var parent = stat()
        guard fstat(descriptor, &file) == 0, fstat(directory, &parent) == 0 else { throw systemFault("fstat") }
        guard clinux_is_regular(file.st_mode) else {
            let kind = clinux_is_directory(file.st_mode) ? "a directory" : "no regular file"
            throw ImageFault(.notRegularFile, "it is \(kind); name the .so file")
        }
        if let fault = Trust(allowGroupWritable: allowGroupWritable).fault(file: file, directory: parent) {
            throw fault
        }
        isAccepted = true
        return (descriptor, Int(file.st_size))
    }

    private static func copy(_ source: Int32, to target: Int32, size: Int) throws(ImageFault) {
        // One pass in pieces that stay in the second-level cache.
        let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 256 << 10, alignment: 4096)
        defer { piece.deallocate() }
        var total = 0
        while true {
            let got = Glibc.read(source, piece.baseAddress, piece.count)
            if got < 0 {
                if clinux_errno() == EINTR { continue }
                throw ImageFault(.unreadable, "reading it failed (\(systemErrorText(clinux_errno()))); check its disk")
            }
            if got == 0 { break }
            total += got
            guard total <= size else { break }
            var written = 0
            while written < got {
                let put = Glibc.write(target, piece.baseAddress.map { $0 + written }, got - written)
                if put < 0 {
                    if clinux_errno() == EINTR { continue }
                    throw systemFault("writing the memory file")
                }
                written += put
            }
        }
        guard total == size else {
            throw ImageFault(
                .changedWhileReading,
                "its size changed while it was read; put new files in place by renaming, then reload again")
        }
    }
}

/// Who may write what is loaded into this process: root and its own user, nobody else.
struct Trust {
    var user = geteuid()
    var allowGroupWritable: Bool

    func fault(file: stat, directory: stat) -> ImageFault? {
        let remedy = "for example by `chown`, or load a copy that you own"
        guard file.st_uid == 0 || file.st_uid == user else {
            return ImageFault(
                .foreignOwner, "user \(file.st_uid) owns it; it must belong to root or to user \(user), \(remedy)")
        }
        guard directory.st_uid == 0 || directory.st_uid == user else {
            return ImageFault(
                .directoryOwner,
                "user \(directory.st_uid) owns its directory and could exchange it; the directory must belong to root "
                    + "or to user \(user)")
        }
        guard file.st_mode & S_IWOTH == 0 else {
            return ImageFault(.writableByOthers, "every user may write it; take that right away with `chmod o-w`")
        }
        guard directory.st_mode & S_IWOTH == 0 else {
            return ImageFault(
                .directoryWritableByOthers,
                "every user may write its directory and exchange it; use another one, or `chmod o-w` it")
        }
        if allowGroupWritable { return nil }
        guard file.st_mode & S_IWGRP == 0 else {
            return ImageFault(
                .writableByGroup,
                "group \(file.st_gid) may write it; `chmod g-w` it, or let the configuration allow that")
        }
        guard directory.st_mode & S_IWGRP == 0 else {
            return ImageFault(
                .directoryWritableByGroup,
                "group \(directory.st_gid) may write its directory and exchange it; `chmod g-w` that, or let the "
                    + "configuration allow it")
        }
        return nil
    }
}

/// SHA-256 (FIPS 180-4) of `bytes`; nil when libcrypto refuses to compute it.
func sha256(_ bytes: UnsafeRawBufferPointer) -> [UInt8]? {
    var digest = [UInt8](repeating: 0, count: 32)
    var size: UInt32 = 0
    guard EVP_Digest(bytes.baseAddress, bytes.count, &digest, &size, EVP_sha256(), nil) == 1, size == 32 else {
        return nil
    }
    return digest
}

/// `bytes` in lower-case hexadecimal digits.
func hexadecimal(_ bytes: [UInt8]) -> String {
    let digits = Array("0123456789abcdef".unicodeScalars)
    var text = String.UnicodeScalarView()
    for byte in bytes {
        text.append(digits[Int(byte >> 4)])
        text.append(digits[Int(byte & 15)])
    }
    return String(text)
}

func systemFault(_ what: String) -> ImageFault {
    ImageFault(.system, "the system does not let this process load it: \(what): \(systemErrorText(clinux_errno()))")
}

/// The system's words for an errno.
func systemErrorText(_ error: Int32) -> String { strerror(error).map { String(cString: $0) } ?? "error \(error)" }
