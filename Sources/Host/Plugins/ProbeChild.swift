import CLinux
import Glibc
import SluiceABI

/// The hidden command `__probe`: loads the image at descriptor 3 and, for `__probe plugin`, calls its entry and checks
/// what that returns; it tells the outcome to the parent over descriptor 4. It ends the process itself, without the
/// destructors of what it loaded, which never run in the gateway before its own end either. Exit code 0 says that the
/// answer is complete, 2 that nobody called this the way `probe` does.
/// - Parameter trial: the argument after the command.
public func runProbe(_ trial: String?) -> Never {
    guard let trial = trial.flatMap(ProbeTrial.init(rawValue:)), let token = readToken() else {
        let words =
            "sluice: \(ProbeCommand.argument) is run by the gateway itself; use `sluice plugin inspect FILE.so`\n"
        _ = words.withCString { write(2, $0, strlen($0)) }
        _exit(2)
    }
    let answer: ProbeAnswer
    do {
        try renouncePrivileges()
        let handle = try loadImage()
        answer = trial == .plugin ? .accepted(try ImageDescription(try callEntry(of: handle))) : .loaded
    } catch {
        answer = .refused(error)
    }
    var bytes = answer.encoded(token: token)
    let isSent = bytes.withUTF8 { sendAll($0) }
    _exit(isSent ? 0 : 3)
}

private func readToken() -> String? {
    var token = [UInt8](repeating: 0, count: ProbeChannel.tokenBytes)
    let got = recv(ProbeChannel.answer, &token, token.count, Int32(MSG_WAITALL))
    guard got == token.count else { return nil }
    return String(decoding: token, as: UTF8.self)
}

/// What the plugin's constructors shall not be able to do while nobody has decided to trust them.
private func renouncePrivileges() throws(ImageFault) {
    _ = clinux_bound_resource(Int32(RLIMIT_CORE.rawValue), 0)
    // Beyond what honest constructors use, below what disturbs the gateway beside it.
    _ = clinux_bound_resource(Int32(RLIMIT_NOFILE.rawValue), 256)
    _ = clinux_bound_resource(Int32(RLIMIT_CPU.rawValue), 10)
    _ = clinux_bound_resource(Int32(RLIMIT_FSIZE.rawValue), 16 << 20)
    // A sanitizer's shadow memory is terabytes of writable address space.
    if !clinux_sanitized() { _ = clinux_bound_resource(Int32(RLIMIT_DATA.rawValue), 4 << 30) }
    guard clinux_drop_privileges() == 0 else { throw systemFault("giving up privileges") }
    // A kernel without Landlock still probes, only less confined.
    _ = clinux_deny_file_changes()
}

private func loadImage() throws(ImageFault) -> UnsafeMutableRawPointer {
    guard let handle = dlopen("/proc/self/fd/\(ProbeChannel.image)", RTLD_NOW | RTLD_LOCAL) else {
        throw loadFault()
    }
    return handle
}

/// Calls `sluice_plugin_entry` of an image that the dynamic linker has loaded.
func callEntry(of handle: UnsafeMutableRawPointer) throws(ImageFault) -> UnsafePointer<sluice_plugin> {
    guard let symbol = dlsym(handle, "sluice_plugin_entry") else {
        throw ImageFault(.entryMissing, "it does not export sluice_plugin_entry; export that function")
    }
    typealias Entry = @convention(c) (UInt32) -> UnsafePointer<sluice_plugin>?
    guard let plugin = unsafeBitCast(symbol, to: Entry.self)(UInt32(SLUICE_ABI_VERSION)) else {
        throw ImageFault(
            .entryRefused,
            "it refuses a host of ABI \(abiText(UInt32(SLUICE_ABI_VERSION))); ask its vendor for a build that takes it")
    }
    return plugin
}

/// The dynamic linker's last error, by what an operator would do about it.
func loadFault() -> ImageFault {
    let words = dlerror().map { oneLine(String(cString: $0)) } ?? "no reason given"
    // "/proc/self/fd/3: undefined symbol: x": the name of the memory file tells nobody anything.
    let path = "/proc/self/fd/"
    var detail = words
    if detail.hasPrefix(path), let colon = detail.firstIndex(of: " ") {
        detail = String(detail[detail.index(after: colon)...])
    }
    if words.contains("cannot open shared object file") {
        return ImageFault(
            .missingLibrary,
            "a library that it needs is missing: \(detail); install that (a run path of $ORIGIN finds nothing here: "
                + "it is loaded from memory)")
    }
    if words.contains("undefined symbol") || words.contains("symbol lookup error") {
        return ImageFault(.undefinedSymbol, "it uses what no library of its own provides: \(detail); link it with that")
    }
    return ImageFault(.loadFailed, "the dynamic linker refuses it: \(detail)")
}

private func sendAll(_ bytes: UnsafeBufferPointer<UInt8>) -> Bool {
    var sent = 0
    while sent < bytes.count {
        let put = send(
            ProbeChannel.answer, bytes.baseAddress.map { $0 + sent }, bytes.count - sent, Int32(MSG_NOSIGNAL))
        if put < 0 {
            if clinux_errno() == EINTR { continue }
            return false
        }
        sent += put
    }
    return true
}
