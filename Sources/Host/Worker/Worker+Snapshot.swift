/// The moment's state of a worker, for the control thread.
extension Worker {
    func snapshot() -> WorkerSnapshot {
        WorkerSnapshot(
            worker: index, clients: clients.inUse, upstreams: upstreams.inUse, exchanges: exchanges.inUse - held,
            bufferBytes: buffers.bytesInUse, generation: generation.pointee.number,
            byGeneration: exchangesByGeneration())
    }

    private func exchangesByGeneration() -> [UInt64: Int] {
        var counts: [UInt64: Int] = [:]
        for exchange in exchangesUnderWay {
            if let number = exchange.pointee.generation?.pointee.number { counts[number, default: 0] += 1 }
        }
        return counts
    }
}
