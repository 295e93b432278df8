import Foundation
import SluicePlugin
import Testing

/// Files that plugins read whole.
@Suite struct RegularFileTests {
    /// A directory of its own, gone with the test.
    private final class Directory {
        let path = NSTemporaryDirectory() + "sluice-regular-file-\(UUID().uuidString)"

        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }

        func file(_ name: String) -> String { path + "/" + name }

        @discardableResult
        func write(_ name: String, _ text: String) throws -> String {
            try text.write(toFile: file(name), atomically: false, encoding: .utf8)
            return file(name)
        }
    }

    /// - Parameter meanwhile: what happens between its opening and its reading.
    private func content(
        _ path: String, atMost bound: Int = 1 << 20, meanwhile: () throws -> Void = {}
    ) -> Result<String, RegularFile.Failure> {
        do throws(RegularFile.Failure) {
            let file = try RegularFile(path)
            do { try meanwhile() } catch { Issue.record(error) }
            return .success(String(decoding: try file.content(atMost: bound), as: UTF8.self))
        } catch { return .failure(error) }
    }

    private func refusal(
        _ path: String, atMost bound: Int = 1 << 20, meanwhile: () throws -> Void = {}
    ) -> String? {
        if case .failure(let failure) = content(path, atMost: bound, meanwhile: meanwhile) { return failure.text }
        return nil
    }

    private func identity(_ path: String) throws -> RegularFile.Identity { try RegularFile(path).identity }

    @Test func itIsReadWhole() throws {
        let directory = try Directory()
        // More than one piece, and no whole number of them.
        let long = String(repeating: "0123456789", count: 20_001)
        for text in ["", "a", long] {
            #expect(content(try directory.write("f", text)) == .success(text))
        }
        // A link is followed: orchestrators put a file in place by one.
        try FileManager.default.createSymbolicLink(atPath: directory.file("link"), withDestinationPath: "f")
        #expect(content(directory.file("link")) == .success(long))
    }

    @Test func aBoundHolds() throws {
        let directory = try Directory()
        let file = try directory.write("f", "12345")
        #expect(content(file, atMost: 5) == .success("12345"))
        #expect(refusal(file, atMost: 4) == "has more than 4 bytes")
        // Its size is not known before it is read.
        #expect(refusal("/proc/self/status", atMost: 16) == "has more than 16 bytes")
        #expect(refusal("/proc/self/status") == nil)
    }

    @Test func whatIsNoFileIsRefusedAtOnce() throws {
        let directory = try Directory()
        let pipe = directory.file("pipe")
        #expect(mkfifo(pipe, 0o600) == 0)
        for path in [pipe, directory.path, "/dev/null"] { #expect(refusal(path) == "is no regular file") }
        #expect(refusal(directory.file("none")) == "cannot be opened: No such file or directory")
    }

    @Test(arguments: ["", "x", "longer than before"])
    func oneThatChangesMeanwhileIsRefused(text: String) throws {
        let directory = try Directory()
        let path = try directory.write("f", "before")
        #expect(
            refusal(path) { try directory.write("f", text) }
                == "changed while it was read; rename a new file over the old one instead")
    }

    @Test func anotherInItsPlaceIsNoChangeOfIt() throws {
        let directory = try Directory()
        let path = try directory.write("f", "before")
        try directory.write("new", "after")
        // The links of what is open are fewer now: its content is what it was.
        let meanwhile: () throws -> Void = { #expect(rename(directory.file("new"), path) == 0) }
        #expect(content(path, meanwhile: meanwhile) == .success("before"))
        #expect(content(path) == .success("after"))
    }

    @Test func anIdentityTellsContentsApart() throws {
        let directory = try Directory()
        let path = try directory.write("f", "one")
        let first = try identity(path)
        #expect(try identity(path) == first && first.size == 3)
        try directory.write("f", "another")
        let second = try identity(path)
        #expect(second != first && second.size == 7)
        // Another file of the same name.
        try directory.write("new", "another")
        #expect(rename(directory.file("new"), path) == 0)
        #expect(try identity(path) != second)
    }
}
