import Glibc
import SluicePlugin
import Testing

@Suite struct ResolvedAddressTests {
    /// A port of the loopback address, bound; nobody is let in before it listens.
    private final class Port {
        let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        private(set) var number: UInt16 = 0

        init(listens: Bool) throws {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(INADDR_LOOPBACK).bigEndian
            var size = socklen_t(MemoryLayout<sockaddr_in>.size)
            let status = withUnsafeMutablePointer(to: &address) {
                $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    bind(descriptor, $0, size) == 0 && getsockname(descriptor, $0, &size) == 0
                }
            }
            try #require(status)
            if listens { try #require(listen(descriptor, 8) == 0) }
            number = UInt16(bigEndian: address.sin_port)
        }

        deinit { close(descriptor) }

        var places: [ResolvedAddress] { ResolvedAddress.numeric(host: "127.0.0.1", port: number) }
    }

    private func connect(_ places: [ResolvedAddress]) throws(ResolvedAddress.ConnectFailure) -> Int32 {
        try ResolvedAddress.connect(
            toFirstOf: places, StopSignal(descriptor: -1), deadline: StopSignal.now + 60_000_000_000)
    }

    private func text(_ failure: ResolvedAddress.ConnectFailure?) -> String? {
        if case .text(let text) = failure { text } else { nil }
    }

    /// As with a name whose first address is not the one at which the server listens.
    @Test func theNextAddressIsTriedWhenOneRefuses() throws {
        let (closed, open) = (try Port(listens: false), try Port(listens: true))
        for places in [closed.places + open.places, open.places + closed.places] {
            try #require(places.count == 2)
            let descriptor = try connect(places)
            #expect(fcntl(descriptor, F_GETFL) & O_NONBLOCK != 0)
            close(descriptor)
        }
    }

    @Test func whenNoneTakesItThatIsTold() throws {
        let closed = try Port(listens: false)
        let failure = #expect(throws: ResolvedAddress.ConnectFailure.self) {
            _ = try connect(closed.places + closed.places)
        }
        #expect(text(failure)?.hasPrefix("cannot connect: ") == true)
        let nowhere = #expect(throws: ResolvedAddress.ConnectFailure.self) {
            _ = try connect([])
        }
        #expect(text(nowhere) == "its name is not known")
    }
}
