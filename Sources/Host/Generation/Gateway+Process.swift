import CLinux
import Configuration
import Glibc
import Logging

/// What settings mean for the process and the machine.
extension Gateway {
    static func cores(_ affinity: Settings.Affinity, _ workerCount: Int) -> [Int] {
        switch affinity {
        case .off: []
        // More workers than cores would only get in each other's way when pinned.
        case .auto:
            workerCount > Int(clinux_core_count())
                ? [] : (0..<workerCount).map { Int(clinux_core_at(Int32($0))) }.filter { $0 >= 0 }
        case .cores(let list): list
        }
    }

    static func raiseDescriptorLimit() {
        var limit = rlimit()
        guard getrlimit(Int32(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return }
        limit.rlim_cur = limit.rlim_max
        setrlimit(Int32(RLIMIT_NOFILE.rawValue), &limit)
    }

    static func level(_ settings: Settings) -> Logger.Level {
        HostLog.level(named: settings.monitoring.logLevel) ?? .info
    }

    static func format(_ settings: Settings) -> LogFormatter.Format {
        settings.monitoring.logFormat == .json ? .json : .text
    }
}
