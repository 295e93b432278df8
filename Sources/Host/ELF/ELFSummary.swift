/// What `checkELF` learned about a shared library that it accepts.
public struct ELFSummary: Equatable, Sendable {
    /// DT_NEEDED, in the order of the file: the libraries that the dynamic linker loads with it.
    public var neededLibraries: [String] = []
    /// DT_SONAME; nil when there is none. Two images with one SONAME live side by side: nothing is looked up by it.
    public var sharedObjectName: String?
    /// DT_RUNPATH, or DT_RPATH where that is missing. `$ORIGIN` in it has no meaning, as images load from memory.
    public var runPath: String?
    /// Bytes of address space that the segments span.
    public var mappedBytes: UInt64 = 0
    /// The file has sections that only Swift code has.
    public var hasSwiftSections = false

    /// Whether the library uses the Swift runtime of the process that loads it.
    public var sharesSwiftRuntime: Bool { neededLibraries.contains("libswiftCore.so") }
}

/// Why `checkELF` refuses an image: one case for each thing that an operator would do something else about.
public enum ELFFault: Error, Equatable, Sendable {
    case empty
    case notELF
    /// The headers speak of `needs` bytes, the file has `has`.
    case truncated(needs: UInt64, has: UInt64)
    /// 32 bits, big endian, or of an unknown version.
    case foreignFormat(String)
    /// e_type is not ET_DYN, or the file is a position-independent executable.
    case notSharedLibrary(String)
    /// e_machine, and the one that this host runs on.
    case foreignMachine(UInt16, host: UInt16)
    case writableCode
    /// PT_GNU_STACK asks for an executable stack, or is missing, which asks for the same.
    case executableStack(declared: Bool)
    case textRelocations
    /// A header or table contradicts itself or the file.
    case malformed(String)
    case entryMissing
    /// The entry is exported, but is data, undefined, local or outside the code.
    case entryNotFunction(String)
}

extension ELFFault: CustomStringConvertible {
    public var description: String {
        switch self {
        case .empty: return "the file is empty"
        case .notELF: return "it is no ELF file"
        case .truncated(let needs, let has):
            return "it is cut off: its headers speak of \(needs) bytes, the file has \(has)"
        case .foreignFormat(let what): return "it is \(what), and this host loads 64-bit little-endian ELF version 1"
        case .notSharedLibrary(let what): return "it is \(what), and no shared library"
        case .foreignMachine(let machine, let host):
            return "it is for \(machineName(machine)), and this host runs on \(machineName(host))"
        case .writableCode: return "a segment of it is writable and executable at once"
        case .executableStack(true): return "it asks for an executable stack"
        case .executableStack(false): return "it has no PT_GNU_STACK header, which asks for an executable stack"
        case .textRelocations: return "its code has relocations of its own (DT_TEXTREL)"
        case .malformed(let what): return "it is damaged: \(what)"
        case .entryMissing: return "it does not export sluice_plugin_entry"
        case .entryNotFunction(let what): return "its sluice_plugin_entry is \(what)"
        }
    }
}

/// The name of an e_machine of the System V ABI, or its number.
func machineName(_ machine: UInt16) -> String {
    switch machine {
    case 3: return "x86 (32 bits)"
    case 8: return "MIPS"
    case 20, 21: return "PowerPC"
    case 22: return "S/390"
    case 40: return "Arm (32 bits)"
    case ELFMachine.amd64: return "x86-64"
    case ELFMachine.aarch64: return "AArch64"
    case 243: return "RISC-V"
    case 258: return "LoongArch"
    default: return "machine \(machine)"
    }
}

/// Machines that the gateway runs on, by their e_machine.
public enum ELFMachine {
    public static let amd64: UInt16 = 62
    public static let aarch64: UInt16 = 183
    #if arch(x86_64)
        public static let host = amd64
    #elseif arch(arm64)
        public static let host = aarch64
    #else
        #error("Sluice runs on x86-64 and AArch64")
    #endif
}
