import Glibc

/// What the kernel says of this process (proc(5)). A field that could not be read is nil.
struct ProcessStatistics: Sendable {
    var residentBytes: UInt64?
    var virtualBytes: UInt64?
    var cpuSeconds: Double?
    var openDescriptors: UInt64?
    var maxDescriptors: UInt64?
    var threads: UInt64?
    /// Since 1970-01-01 UTC.
    var startSeconds: Double?

    static func current() -> ProcessStatistics {
        var statistics = ProcessStatistics()
        let pageSize = UInt64(max(sysconf(Int32(_SC_PAGESIZE)), 1))
        if let text = contents("/proc/self/statm") {
            let fields = text.split(separator: " ")
            if fields.count > 1 {
                statistics.virtualBytes = UInt64(fields[0]).map { $0 * pageSize }
                statistics.residentBytes = UInt64(fields[1]).map { $0 * pageSize }
            }
        }
        var time = timespec()
        if clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) == 0 {
            statistics.cpuSeconds = Double(time.tv_sec) + Double(time.tv_nsec) / 1_000_000_000
        }
        if let line = contents("/proc/self/limits")?.split(separator: "\n").first(where: {
            $0.hasPrefix("Max open files")
        }) {
            statistics.maxDescriptors = line.dropFirst(14).split(separator: " ").first.flatMap { UInt64($0) }
        }
        statistics.openDescriptors = countDescriptors()
        if let text = contents("/proc/self/stat"), let end = text.lastIndex(of: ")") {
            // The command's name may hold spaces and parentheses; the fields behind it start at number 3, "state".
            let fields = text[text.index(after: end)...].split(separator: " ")
            let ticks = Double(max(sysconf(Int32(_SC_CLK_TCK)), 1))
            if fields.count > 19 {
                statistics.threads = UInt64(fields[17])
                if let started = Double(fields[19]), let boot = bootSeconds() {
                    statistics.startSeconds = boot + started / ticks
                }
            }
        }
        return statistics
    }

    private static func bootSeconds() -> Double? {
        contents("/proc/stat")?.split(separator: "\n").first { $0.hasPrefix("btime ") }
            .flatMap { Double($0.dropFirst(6)) }
    }

    private static func countDescriptors() -> UInt64? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count: UInt64 = 0
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != CChar(bitPattern: UInt8(ascii: ".")) { count += 1 }
        }
        // The directory itself was open while it was read.
        return count > 0 ? count - 1 : 0
    }

    /// The beginning of a file of proc(5), at most 1 MiB: /proc/stat has a line for each core and interrupt.
    private static func contents(_ path: String) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 16_384)
        while bytes.count < 1 << 20 {
            let count = read(descriptor, &piece, piece.count)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            bytes.append(contentsOf: piece[0..<count])
        }
        return String(decoding: bytes, as: UTF8.self)
    }
}
