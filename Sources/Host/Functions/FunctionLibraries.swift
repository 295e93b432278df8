import CLinux
import ELF
import Glibc

/// The libraries whose functions rules call. One that was loaded stays until the process ends, whatever configurations
/// come after. As with plugins, a library of a path is its bytes: they are copied to sealed memory, tried in a child
/// process and mapped from there, so that who replaces or overwrites the file changes nothing that runs. There is one
/// registry in a process, on its control thread. [main]
final class FunctionLibraries {
    /// Of one process. An operator declares a handful; each costs what its segments take, and its copy.
    static let libraryBound = 64
    /// A library of functions is some MiB; what is larger is a runtime, and belongs behind a plugin.
    static let fileBytes = 256 << 20
    /// Of all copies, as of plugins' images: what a service leaves to spare on a usual machine.
    static let copiedBytes = 1 << 30

    /// By name, those that the linker found.
    private var named: [String: UnsafeMutableRawPointer] = [:]
    /// By SHA-256, those of a path.
    private var copies: [[UInt8]: UnsafeMutableRawPointer] = [:]
    private var bytes = 0
    private let probeCommand: ProbeCommand

    init(probe: ProbeCommand = ProbeCommand()) { probeCommand = probe }

    struct Library {
        var handle: UnsafeMutableRawPointer
        /// For messages: the copy's own name tells nobody anything.
        var path: String
    }

    struct Refusal: Error {
        var message: String
    }

    /// Loads a library, or finds it loaded.
    /// - Parameter name: A path, whose file and directory must belong to root or the gateway's user as those of plugins
    ///   must; or, without a slash, a name that the system's linker looks for in its own directories, which it trusts.
    func library(_ name: String) throws(Refusal) -> Library {
        name.utf8.contains(UInt8(ascii: "/")) ? try library(at: name) : try systemLibrary(name)
    }

    private func systemLibrary(_ name: String) throws(Refusal) -> Library {
        let handle: UnsafeMutableRawPointer
        if let known = named[name] {
            handle = known
        } else {
            if let fault = countFault { throw Refusal(message: fault) }
            var words: UnsafePointer<CChar>?
            guard let opened = clinux_open_library(name, &words) else {
                let words = words.map { String(cString: $0) } ?? "the linker does not say why"
                throw Refusal(message: "it cannot be loaded: \(oneLine(words)); install it, or correct its name")
            }
            handle = opened
            named[name] = handle
        }
        return Library(handle: handle, path: clinux_library_path(handle).map { String(cString: $0) } ?? name)
    }

    private func library(at path: String) throws(Refusal) -> Library {
        do throws(ImageFault) {
            let file = try ImageFile.read(path: path, allowGroupWritable: false, limit: Self.fileBytes)
            if let known = copies[file.digest] { return Library(handle: known, path: file.path) }
            if case .failure(let fault) = checkELF(file.bytes, requiresEntry: false) { throw ImageFault(fault) }
            // What the gateway itself is linked to, or a named library: a second libc would be a second allocator.
            let flags = RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE
            if let own = dlopen(file.path, flags | RTLD_NOLOAD) { return Library(handle: own, path: file.path) }
            if let fault = countFault ?? bytesFault(adding: file.bytes.count) { throw ImageFault(.system, fault) }
            try probeLibrary(file, with: probeCommand)
            guard let handle = dlopen("/proc/self/fd/\(file.descriptor)", flags) else { throw loadFault() }
            file.keepDescriptor()
            copies[file.digest] = handle
            bytes += file.bytes.count
            return Library(handle: handle, path: file.path)
        } catch {
            throw Refusal(message: "\(oneLine(path)): \(error.detail)")
        }
    }

    private static let remedy = "they stay until the process ends: restart the gateway"

    private var countFault: String? {
        let count = named.count + copies.count
        guard count >= Self.libraryBound else { return nil }
        return "\(count) libraries of functions are loaded, and at most \(Self.libraryBound) are taken; \(Self.remedy)"
    }

    private func bytesFault(adding size: Int) -> String? {
        guard size > Self.copiedBytes - bytes else { return nil }
        return "libraries of functions of \(bytes) bytes are loaded, this one has \(size), and at most "
            + "\(Self.copiedBytes) are taken; \(Self.remedy)"
    }

    /// The address of a function.
    static func symbol(_ name: String, of library: Library) throws(Refusal) -> UnsafeMutableRawPointer {
        var isFunction = false
        guard let address = clinux_library_symbol(library.handle, name, &isFunction) else {
            throw Refusal(
                message: "\(oneLine(library.path)) has no symbol `\(oneLine(name))`; `nm -D` lists those that it has")
        }
        guard isFunction else {
            throw Refusal(message: "`\(oneLine(name))` is data, not a function; name a function")
        }
        return address
    }
}
