import CLinux
import ELF
import Glibc

/// The libraries whose functions rules call. One that was loaded stays until the process ends, whatever configurations
/// come after. There is one registry in a process, on its control thread. [main]
final class FunctionLibraries {
    /// Of one process. An operator declares a handful; each costs what its segments take.
    static let libraryBound = 64
    /// A library of functions is some MiB; what is larger is a runtime, and belongs behind a plugin.
    static let fileBytes = 256 << 20

    private struct Loaded {
        var handle: UnsafeMutableRawPointer
        /// SHA-256 of the file when it was loaded; nil for one that the system found.
        var digest: [UInt8]?
    }
    private var libraries: [String: Loaded] = [:]

    struct Library {
        var handle: UnsafeMutableRawPointer
        /// What the operator should hear, though the library can be used.
        var warning: String?
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
        if let known = libraries[name] { return Library(handle: known.handle) }
        let handle = try open(name)
        libraries[name] = Loaded(handle: handle, digest: nil)
        return Library(handle: handle)
    }

    private func library(at path: String) throws(Refusal) -> Library {
        let file: ImageFile
        do throws(ImageFault) {
            file = try ImageFile.read(path: path, allowGroupWritable: false, limit: Self.fileBytes)
        } catch {
            throw Refusal(message: "\(oneLine(path)): \(error.detail)")
        }
        if let known = libraries[file.path] {
            // The linker knows a file by its name and would answer with the old one.
            let warning =
                known.digest == file.digest
                ? nil : "\(oneLine(path)) has changed since it was loaded; the old one serves until a restart"
            return Library(handle: known.handle, warning: warning)
        }
        if case .failure(let fault) = checkELF(file.bytes, requiresEntry: false) {
            throw Refusal(message: "\(oneLine(path)): \(ImageFault(fault).detail)")
        }
        let handle = try open(file.path)
        libraries[file.path] = Loaded(handle: handle, digest: file.digest)
        return Library(handle: handle)
    }

    private func open(_ name: String) throws(Refusal) -> UnsafeMutableRawPointer {
        guard libraries.count < Self.libraryBound else {
            throw Refusal(
                message: "\(libraries.count) libraries of functions are loaded, and at most \(Self.libraryBound) are "
                    + "taken; they stay until the process ends: restart the gateway")
        }
        var fault: UnsafePointer<CChar>?
        guard let handle = clinux_open_library(name, &fault) else {
            let words = fault.map { String(cString: $0) } ?? "the linker does not say why"
            throw Refusal(message: "it cannot be loaded: \(oneLine(words)); install it, or correct its name")
        }
        return handle
    }

    /// The address of a function.
    static func symbol(_ name: String, of library: Library) throws(Refusal) -> UnsafeMutableRawPointer {
        var isFunction = false
        guard let address = clinux_library_symbol(library.handle, name, &isFunction) else {
            let file = clinux_library_path(library.handle).map { String(cString: $0) } ?? "the library"
            throw Refusal(
                message: "\(oneLine(file)) has no symbol `\(oneLine(name))`; `nm -D` lists those that it has")
        }
        guard isFunction else {
            throw Refusal(message: "`\(oneLine(name))` is data, not a function; name a function")
        }
        return address
    }
}
