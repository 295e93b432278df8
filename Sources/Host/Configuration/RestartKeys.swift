extension Settings {
    /// The keys of `gateway` that differ from `initial`, with which the process began, and that a reload cannot change:
    /// what they say was made with its workers.
    ///
    /// - Returns: each with where it stands in the file; nil where it stands there no more.
    public func changedUntilRestart(since initial: Settings) -> [(key: String, position: Position?)] {
        let keys = [
            ("worker_threads", server.workerThreads != initial.server.workerThreads),
            ("max_connections", server.maxConnections != initial.server.maxConnections),
            ("cpu_affinity", server.cpuAffinity != initial.server.cpuAffinity),
            ("offload_threads", server.offloadThreads != initial.server.offloadThreads),
            ("offload_queue", server.offloadQueue != initial.server.offloadQueue),
            ("spare_buffer_bytes", server.spareBufferBytes != initial.server.spareBufferBytes),
            ("spare_stream_bytes", server.spareStreamBytes != initial.server.spareStreamBytes),
        ].filter(\.1).map { "server.\($0.0)" }
        let log = monitoring.logBufferBytes != initial.monitoring.logBufferBytes
        return (keys + (log ? ["monitoring.log_buffer_bytes"] : [])).map { ($0, keyPositions[$0]) }
    }

    /// Notes where the keys of a section stand.
    mutating func notePositions(_ section: Section, of keys: [String], as prefix: String) {
        for key in keys {
            if let position = section.keyPosition(key) { keyPositions["\(prefix).\(key)"] = position }
        }
    }

    static let restartKeysOfServer = [
        "worker_threads", "max_connections", "cpu_affinity", "offload_threads", "offload_queue", "spare_buffer_bytes",
        "spare_stream_bytes",
    ]
}
