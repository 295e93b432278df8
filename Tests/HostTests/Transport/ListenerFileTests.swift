import Configuration
import Glibc
import Testing

@testable import Host

/// The files of Unix listeners: what may be another's is never taken away.
@Suite struct ListenerFileTests {
    private let directory: String
    private var path: String { directory + "/gateway.sock" }

    init() throws { directory = try TestGateway.temporaryDirectory() }

    private func cleaned(_ body: () throws -> Void) throws {
        defer {
            unlink(path)
            rmdir(directory)
        }
        try body()
    }

    /// Another process's socket at the path.
    private func socket(_ kind: __socket_type, backlog: Int32? = nil) throws -> Int32 {
        let descriptor = Glibc.socket(AF_UNIX, Int32(kind.rawValue), 0)
        let address = try #require(SocketAddress.unix(path))
        try #require(address.withPointer { bind(descriptor, $0, $1) } == 0)
        if let backlog { try #require(listen(descriptor, backlog) == 0) }
        return descriptor
    }

    private func prepare() throws -> (Listeners, [Listeners.Open]) {
        let listeners = Listeners(workerCount: 2)
        let wanted = Settings.ListenerSettings(
            address: .unix(path: path), position: Position(file: "a.yaml", line: 1, column: 2))
        do throws(Listeners.Failure) {
            return (listeners, try listeners.prepare([wanted]))
        } catch {
            throw AdminError(error.message)
        }
    }

    private func inode() -> UInt64? {
        var information = stat()
        return lstat(path, &information) == 0 ? UInt64(information.st_ino) : nil
    }

    /// Its queue is full, so that a connection to it would wait.
    @Test func whoDoesNotAcceptIsThereAllTheSame() throws {
        try cleaned {
            let other = try socket(SOCK_STREAM, backlog: 0)
            defer { close(other) }
            let address = try #require(SocketAddress.unix(path))
            var clients: [Int32] = []
            defer { for client in clients { close(client) } }
            while true {
                let client = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
                clients.append(client)
                guard address.withPointer({ connect(client, $0, $1) }) == 0 else { break }
            }
            let error = #expect(throws: AdminError.self) { _ = try prepare() }
            #expect(error?.description.contains("another process listens on unix:") == true)
            #expect(inode() != nil)
        }
    }

    @Test func aSocketOfDatagramsIsLeft() throws {
        try cleaned {
            let other = try socket(SOCK_DGRAM)
            defer { close(other) }
            let before = inode()
            let error = #expect(throws: AdminError.self) { _ = try prepare() }
            #expect(error?.description.contains("is in use cannot be told") == true)
            #expect(before != nil && inode() == before)
        }
    }

    @Test func whatADeadProcessLeftIsTakenOver() throws {
        try cleaned {
            close(try socket(SOCK_STREAM, backlog: 1))
            let before = inode()
            let (listeners, made) = try prepare()
            #expect(inode() != nil && before != nil)
            listeners.discard(made)
            #expect(inode() == nil)
        }
    }

    @Test func whatAnotherHasPutInItsPlaceStays() throws {
        try cleaned {
            let (listeners, made) = try prepare()
            #expect(unlink(path) == 0)
            let other = try socket(SOCK_STREAM, backlog: 1)
            defer { close(other) }
            let before = inode()
            listeners.discard(made)
            #expect(before != nil && inode() == before)
        }
    }
}
