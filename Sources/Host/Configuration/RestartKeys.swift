extension Settings {
    /// Keys of `gateway` that a reload cannot change, since what they say was made with the process; and whether two
    /// configurations say different things there.
    private static let restartKeys: [(section: String, key: String, differs: @Sendable (Settings, Settings) -> Bool)] =
        [
            ("server", "worker_threads", { $0.server.workerThreads != $1.server.workerThreads }),
            ("server", "max_connections", { $0.server.maxConnections != $1.server.maxConnections }),
            ("server", "cpu_affinity", { $0.server.cpuAffinity != $1.server.cpuAffinity }),
            ("server", "offload_threads", { $0.server.offloadThreads != $1.server.offloadThreads }),
            ("server", "offload_queue", { $0.server.offloadQueue != $1.server.offloadQueue }),
            ("server", "spare_buffer_bytes", { $0.server.spareBufferBytes != $1.server.spareBufferBytes }),
            ("server", "spare_stream_bytes", { $0.server.spareStreamBytes != $1.server.spareStreamBytes }),
            ("monitoring", "log_buffer_bytes", { $0.monitoring.logBufferBytes != $1.monitoring.logBufferBytes }),
        ]

    /// Those that differ from `initial`, with which the process began.
    ///
    /// - Returns: each with where it stands in the file; nil where it stands there no more.
    public func changedUntilRestart(since initial: Settings) -> [(key: String, position: Position?)] {
        Self.restartKeys.filter { $0.differs(self, initial) }.map {
            let key = "\($0.section).\($0.key)"
            return (key, keyPositions[key])
        }
    }

    /// Where `cpu_affinity` stands; nil where it does not.
    public var affinityPosition: Position? { keyPositions["server.cpu_affinity"] }

    /// Notes where those of them stand that are of the section of that name.
    mutating func notePositions(_ section: Section, named name: String) {
        for entry in Self.restartKeys where entry.section == name {
            if let position = section.keyPosition(entry.key) { keyPositions["\(name).\(entry.key)"] = position }
        }
    }
}
