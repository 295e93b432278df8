import ELF

/// Why a file was not loaded as a plugin. Nothing of it stays in the process, unless the reason says so.
public struct ImageRefusal: Error, Equatable, Sendable {
    /// One for each thing that can be wrong. The raw value is stable: logs and the probe's answer use it.
    public enum Reason: String, CaseIterable, Sendable {
        // The file.
        case notFound = "not-found"
        case unreadable
        case notRegularFile = "not-regular-file"
        case foreignOwner = "foreign-owner"
        case writableByOthers = "writable-by-others"
        case writableByGroup = "writable-by-group"
        case directoryOwner = "directory-owner"
        case directoryWritableByOthers = "directory-writable-by-others"
        case directoryWritableByGroup = "directory-writable-by-group"
        case tooLarge = "too-large"
        case changedWhileReading = "changed-while-reading"
        case pinMismatch = "pin-mismatch"
        // The ELF image.
        case empty
        case notELF = "not-elf"
        case truncated
        case foreignFormat = "foreign-format"
        case notSharedLibrary = "not-shared-library"
        case foreignMachine = "foreign-machine"
        case writableCode = "writable-code"
        case executableStack = "executable-stack"
        case textRelocations = "text-relocations"
        case malformed
        case entryMissing = "entry-missing"
        case entryNotFunction = "entry-not-function"
        // The bounds of this process, and what the kernel denied it.
        case tooManyImages = "too-many-images"
        case tooManyBytes = "too-many-bytes"
        case system
        // The probe.
        case probeNotStarted = "probe-not-started"
        case probeTimedOut = "probe-timed-out"
        case probeCrashed = "probe-crashed"
        case probeExited = "probe-exited"
        case probeGarbled = "probe-garbled"
        case undefinedSymbol = "undefined-symbol"
        case missingLibrary = "missing-library"
        case loadFailed = "load-failed"
        // What the entry returned.
        case entryRefused = "entry-refused"
        case abiMismatch = "abi-mismatch"
        case descriptionInvalid = "description-invalid"
        case extensionInvalid = "extension-invalid"
        case noKnownExtension = "no-known-extension"
        /// The dynamic linker answered with an image that is loaded already: a bug of the host.
        case handleKnown = "handle-known"
    }

    public var reason: Reason
    /// What is wrong with which file and what to do about it, in one line.
    public var message: String

    public init(reason: Reason, message: String) {
        self.reason = reason
        self.message = message
    }
}

/// What is wrong, before it is known of which file.
struct ImageFault: Error, Equatable {
    var reason: ImageRefusal.Reason
    var detail: String

    init(_ reason: ImageRefusal.Reason, _ detail: String) {
        self.reason = reason
        self.detail = detail
    }

    init(_ fault: ELFFault) {
        let remedy: String
        (reason, remedy) =
            switch fault {
            case .empty: (.empty, "copy or build it again")
            case .notELF: (.notELF, "name the .so file")
            case .truncated: (.truncated, "copy it again")
            case .foreignFormat: (.foreignFormat, "build it for this machine")
            case .notSharedLibrary: (.notSharedLibrary, "link it with -shared")
            case .foreignMachine: (.foreignMachine, "build it for this machine")
            case .writableCode: (.writableCode, "link it without -z rwx-segments or -N")
            case .executableStack: (.executableStack, "link it with -z noexecstack")
            case .textRelocations: (.textRelocations, "compile it with -fPIC")
            case .malformed: (.malformed, "copy or build it again")
            case .entryMissing: (.entryMissing, "export that function (see sluice/plugin.h)")
            case .entryNotFunction: (.entryNotFunction, "define it as a function that the library exports")
            }
        detail = "\(fault); \(remedy)"
    }

    func refusal(of path: String) -> ImageRefusal {
        ImageRefusal(reason: reason, message: "\(oneLine(path)): \(detail)")
    }
}

/// `text` without what would break a line or deceive a terminal, and cut to `limit` characters.
func oneLine(_ text: String, limit: Int = 1024) -> String {
    var line = String.UnicodeScalarView()
    for scalar in text.unicodeScalars.prefix(limit) { line.append(isPlain(scalar) ? scalar : "?") }
    return String(line)
}

/// Neither a control character nor one that changes the direction or the layout of a line.
func isPlain(_ scalar: Unicode.Scalar) -> Bool {
    switch scalar.properties.generalCategory {
    case .control, .format, .lineSeparator, .paragraphSeparator, .surrogate: return false
    default: return true
    }
}
