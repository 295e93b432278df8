import Glibc
import Testing

@testable import Host

/// Which files are taken at all, before a byte of them is looked at.
@Suite struct ImageFileTests {
    let fixture: ImageFixture
    let registry: ImageRegistry

    init() throws {
        fixture = try ImageFixture()
        registry = fixture.registry
    }

    private func refuse(_ path: String, group: Bool = false, pin: [UInt8]? = nil) throws -> ImageRefusal {
        let refusal = try refusal(of: registry.load(path: path, pin: pin, allowGroupWritable: group))
        #expect(refusal.message.hasPrefix("\(path): "))
        #expect(registry.count == 0)
        return refusal
    }

    private func setMode(_ mode: mode_t, _ path: String) { #expect(chmod(path, mode) == 0) }

    @Test func missingFile() throws {
        #expect(try refuse(fixture.path("gone.so")).reason == .notFound)
        #expect(try refuse(fixture.path("plugin.so/deeper.so")).reason == .notFound)
        #expect(try refuse("").reason == .notFound)
    }

    @Test func directory() throws {
        let refusal = try refuse(fixture.directory)
        #expect(refusal.reason == .notRegularFile)
        #expect(refusal.message.contains("a directory"))
        #expect(try refuse("/").reason == .notRegularFile)
    }

    /// Opening it must not wait for a writer.
    @Test func namedPipe() throws {
        #expect(mkfifo(fixture.path("pipe.so"), 0o600) == 0)
        #expect(try refuse(fixture.path("pipe.so")).reason == .notRegularFile)
    }

    @Test func emptyFile() throws {
        let refusal = try refuse(try fixture.write([], to: "empty.so"))
        #expect(refusal.reason == .empty)
        #expect(refusal.message.contains("is empty"))
    }

    @Test func text() throws {
        #expect(try refuse(try fixture.write(Array("#!/bin/sh\n".utf8), to: "text.so")).reason == .notELF)
    }

    @Test func everyUserMayWriteTheFile() throws {
        let path = try fixture.plugin()
        setMode(0o757, path)
        let refusal = try refuse(path)
        #expect(refusal.reason == .writableByOthers)
        #expect(refusal.message.contains("chmod o-w"))
        #expect(try refuse(path, group: true).reason == .writableByOthers)
    }

    @Test func everyUserMayWriteTheDirectory() throws {
        let path = try fixture.plugin()
        setMode(0o1777, fixture.directory)
        #expect(try refuse(path).reason == .directoryWritableByOthers)
    }

    @Test func theGroupMayWriteOnlyWhereThatIsAllowed() throws {
        let path = try fixture.plugin()
        setMode(0o770, path)
        #expect(try refuse(path).reason == .writableByGroup)
        setMode(0o750, path)
        setMode(0o770, fixture.directory)
        #expect(try refuse(path).reason == .directoryWritableByGroup)
        setMode(0o770, path)
        let image = try registry.load(path: path, pin: nil, allowGroupWritable: true).get()
        #expect(image.name == "fixture")
        // Known bytes do not excuse who may write them.
        let second = try refusal(of: registry.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(second.reason == .writableByGroup)
    }

    @Test(.enabled(if: geteuid() == 0, "only root can give a file away")) func anotherUserOwnsIt() throws {
        let path = try fixture.plugin()
        #expect(chown(path, 65534, 65534) == 0)
        let refusal = try refuse(path)
        #expect(refusal.reason == .foreignOwner)
        #expect(refusal.message.contains("65534"))
        #expect(chown(path, 0, 0) == 0)
        #expect(chown(fixture.directory, 65534, 65534) == 0)
        #expect(try refuse(path).reason == .directoryOwner)
    }

    /// The rule itself, for users that the tests cannot become.
    @Test func rootAndTheOwnUserAreTrusted() {
        var file = stat()
        var directory = stat()
        file.st_mode = S_IFREG | 0o755
        directory.st_mode = S_IFDIR | 0o755
        let trust = Trust(user: 1000, allowGroupWritable: false)
        #expect(trust.fault(file: file, directory: directory) == nil)
        file.st_uid = 1000
        #expect(trust.fault(file: file, directory: directory) == nil)
        directory.st_uid = 1000
        #expect(trust.fault(file: file, directory: directory) == nil)
        file.st_uid = 1001
        #expect(trust.fault(file: file, directory: directory)?.reason == .foreignOwner)
        #expect(
            Trust(user: 1001, allowGroupWritable: true).fault(file: file, directory: directory)?.reason
                == .directoryOwner)
    }

    @Test func symbolicLinksAreFollowedToAFileThatIsChecked() throws {
        let path = try fixture.plugin()
        #expect(symlink("plugin.so", fixture.path("current.so")) == 0)
        let image = try registry.load(path: fixture.path("current.so"), pin: nil, allowGroupWritable: false).get()
        #expect(image.path == path)
        #expect(symlink("loop.so", fixture.path("loop.so")) == 0)
        let loop = try refusal(of: registry.load(path: fixture.path("loop.so"), pin: nil, allowGroupWritable: false))
        #expect(loop.reason == .changedWhileReading)
    }

    @Test func tooLarge() throws {
        let small = fixture.registry { $0.fileBytes = 1000 }
        let path = try fixture.plugin()
        let refusal = try refusal(of: small.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(refusal.reason == .tooLarge)
        #expect(refusal.message.contains("1000"))
    }

    @Test func pin() throws {
        let path = try fixture.plugin()
        var pin = try #require(try fixture.read("plugin.so").withUnsafeBytes { sha256($0) })
        pin[31] ^= 1
        let refusal = try refuse(path, pin: pin)
        #expect(refusal.reason == .pinMismatch)
        #expect(refusal.message.contains(hexadecimal(pin)))
        pin[31] ^= 1
        #expect(refusal.message.contains(hexadecimal(pin)))
        let image = try registry.load(path: path, pin: pin, allowGroupWritable: false).get()
        #expect(image.digest == hexadecimal(pin))
    }

    /// FIPS 180-4's example of one block.
    @Test func digest() {
        #expect(
            Array("abc".utf8).withUnsafeBytes { sha256($0) }.map(hexadecimal)
                == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    }

    /// A file that is copied in a hurry: cut at every KB, none of it gets as far as the dynamic linker.
    @Test func truncatedAtEveryKilobyte() throws {
        try fixture.plugin()
        let whole = try fixture.read("plugin.so")
        #expect(whole.count > 4096)
        for size in stride(from: 1024, to: whole.count, by: 1024) {
            let path = try fixture.write(Array(whole[..<size]), to: "cut.so")
            let refusal = try refuse(path)
            #expect(refusal.reason == .truncated, "\(size) bytes")
            #expect(refusal.message.contains("the file has \(size)"))
        }
    }
}
