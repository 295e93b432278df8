import Glibc
import Synchronization
import TestThreads
import Testing

@testable import Host

/// The metrics listener as reloads move it, and who waits while one takes its time.
@Suite struct AdminListeners {
    private func withServer(_ body: (AdminServer) throws -> Void) throws {
        let directory = try TestGateway.temporaryDirectory()
        let plane = try TestGateway(socket: directory + "/sluice.sock")
        defer {
            plane.stop()
            rmdir(directory)
        }
        let server = AdminServer(plane: plane)
        defer { server.close() }
        try body(server)
    }

    /// A listener of somebody else; -1 when that is not possible.
    private func listener(_ address: String, _ port: UInt16) -> Int32 {
        guard let place = SocketAddress.numeric(host: address, port: port) else { return -1 }
        let descriptor = socket(place.family, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard place.withPointer({ bind(descriptor, $0, $1) }) == 0, listen(descriptor, 1) == 0 else {
            close(descriptor)
            return -1
        }
        return descriptor
    }

    @Test func thePortStaysWhereTheAddressIsWidened() throws {
        try withServer { server throws in
            let port = try #require(try server.listenForMetrics(at: ("127.0.0.1", 0)))
            #expect(try server.listenForMetrics(at: ("127.0.0.1", port)) == port)
            #expect(try server.listenForMetrics(at: ("0.0.0.0", port)) == port)
            #expect(try server.listenForMetrics(at: ("127.0.0.1", port)) == port)
            #expect(listener("127.0.0.1", port) < 0)
            #expect(try server.listenForMetrics(at: nil) == nil)
        }
    }

    @Test func theOldAddressStaysWhereTheNewOneCannotBe() throws {
        try withServer { server throws in
            let port = try #require(try server.listenForMetrics(at: ("127.0.0.1", 0)))
            let other = listener("127.0.0.2", port)
            try #require(other >= 0)
            #expect(throws: AdminError.self) { _ = try server.listenForMetrics(at: ("0.0.0.0", port)) }
            // It still is ours.
            #expect(listener("127.0.0.1", port) < 0)
            _ = try TestConnection(port: port)
            close(other)
            #expect(try server.listenForMetrics(at: ("0.0.0.0", port)) == port)
        }
    }

    @Test func allAddressesOfOneFamilyLeaveTheOther() throws {
        let six = socket(AF_INET6, Int32(SOCK_STREAM.rawValue), 0)
        guard six >= 0 else { return }
        close(six)
        try withServer { server throws in
            let port: UInt16
            do throws(AdminError) {
                port = try server.listenForMetrics(at: ("::", 0)) ?? 0
            } catch {
                // A machine without IPv6.
                return
            }
            let four = listener("0.0.0.0", port)
            #expect(four >= 0)
            close(four)
        }
    }

    /// A reload may take longer than a client has time for its request. Who has sent it meanwhile has done its part.
    @Test func aRequestThatCameDuringAReloadIsAnswered() throws {
        let directory = try TestGateway.temporaryDirectory()
        let patienceMs: UInt64 = 400
        let gateway = try TestGateway(socket: directory + "/sluice.sock", patienceMs: patienceMs)
        let shared = Flags()
        gateway.duringReload = {
            shared.isIn.store(true, ordering: .releasing)
            while !shared.isOver.load(ordering: .acquiring) { poll(nil, 0, 1) }
        }
        defer {
            shared.isOver.store(true, ordering: .releasing)
            gateway.stop()
            rmdir(directory)
        }
        let waiting = try TestConnection(port: gateway.metricsPort)
        // Whoever is answered was accepted after it, or in the same turn of the loop.
        for _ in 0..<2 { _ = try AdminClient.request("GET", "/status", socket: gateway.socket, timeoutMs: 10_000) }
        let accepted = ContinuousClock.now
        let path = gateway.socket
        onThread { _ = try? AdminClient.request("POST", "/reload", socket: path, timeoutMs: 30_000) }
        while !shared.isIn.load(ordering: .acquiring) { poll(nil, 0, 1) }
        waiting.send("GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        // Until its time is over.
        while ContinuousClock.now - accepted <= .milliseconds(patienceMs) { poll(nil, 0, 1) }
        shared.isOver.store(true, ordering: .releasing)
        #expect(try waiting.receive().hasPrefix("HTTP/1.1 200 "))
    }

    private final class Flags: Sendable {
        let isIn = Atomic<Bool>(false)
        let isOver = Atomic<Bool>(false)
    }
}
