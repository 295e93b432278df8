extension Settings {
    /// The keys of `gateway` that differ from `initial`, with which the process began, and that a reload cannot change:
    /// what they say was made with its workers.
    public func changedUntilRestart(since initial: Settings) -> [String] {
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
        return keys + (log ? ["monitoring.log_buffer_bytes"] : [])
    }
}
