import CLinux
import Glibc
import Testing

@testable import Host

/// What a fixture could not do.
struct FixtureFailure: Error, CustomStringConvertible {
    var description: String
}

/// A directory that only this user may write, gone with the object, and a C compiler for the plugins in it.
/// (No Foundation here: its modules and CLinux see the C library with different feature macros.)
final class ImageFixture {
    let directory: String

    /// The `sluice` executable that was built with the tests, for the probe: the test runner has no such command.
    static let sluice: String = {
        guard let runner = realpath("/proc/self/exe", nil) else { return "" }
        defer { free(runner) }
        return parent(of: String(cString: runner)) + "/sluice"
    }()

    static let repository: String = parent(of: parent(of: parent(of: #filePath)))

    init() throws {
        var template = Array("/tmp/sluice-test-XXXXXX".utf8CString)
        guard let name = mkdtemp(&template) else { throw FixtureFailure(description: "mkdtemp") }
        directory = String(cString: name)
    }

    deinit { _ = try? Self.run(["rm", "-rf", directory]) }

    private static func parent(of path: String) -> String {
        String(path[..<(path.lastIndex(of: "/") ?? path.startIndex)])
    }

    /// Runs a program that prints next to nothing, and waits for its end. Its exit status and its standard error.
    static func run(_ words: [String]) throws -> (status: Int32, errors: String) {
        var pipe: [Int32] = [-1, -1]
        guard clinux_close_on_exec_pipe(&pipe) == 0 else { throw FixtureFailure(description: "pipe2") }
        defer { close(pipe[0]) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        posix_spawn_file_actions_adddup2(&actions, pipe[1], 2)
        defer { posix_spawn_file_actions_destroy(&actions) }
        var arguments = words.map { strdup($0) } + [nil]
        defer { for word in arguments { free(word) } }
        var process: pid_t = 0
        let error = posix_spawnp(&process, words[0], &actions, nil, &arguments, clinux_environment())
        close(pipe[1])
        guard error == 0 else { throw FixtureFailure(description: "\(words[0]): \(systemErrorText(error))") }
        var errors: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 4096)
        while true {
            let got = Glibc.read(pipe[0], &piece, piece.count)
            if got <= 0 { break }
            errors += piece.prefix(got)
        }
        var status: Int32 = 0
        waitpid(process, &status, 0)
        return (status, String(decoding: errors, as: UTF8.self))
    }

    func path(_ name: String) -> String { "\(directory)/\(name)" }

    var registry: ImageRegistry { ImageRegistry(limits: ImageLimits(), probe: ProbeCommand(executable: Self.sluice)) }

    func registry(_ limit: (inout ImageLimits) -> Void) -> ImageRegistry {
        var limits = ImageLimits()
        limit(&limits)
        return ImageRegistry(limits: limits, probe: ProbeCommand(executable: Self.sluice))
    }

    @discardableResult
    func write(_ bytes: [UInt8], to name: String) throws -> String {
        let descriptor = open(path(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
        defer { close(descriptor) }
        var written = 0
        while written < bytes.count {
            let put = bytes[written...].withUnsafeBytes { Glibc.write(descriptor, $0.baseAddress, $0.count) }
            guard put > 0 else { throw FixtureFailure(description: "writing \(name)") }
            written += put
        }
        guard fchmod(descriptor, 0o644) == 0 else { throw FixtureFailure(description: "chmod \(name)") }
        return path(name)
    }

    func read(_ name: String) throws -> [UInt8] { try Self.contents(of: path(name)) }

    static func contents(of path: String) throws -> [UInt8] {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FixtureFailure(description: "reading \(path)") }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var piece = [UInt8](repeating: 0, count: 64 << 10)
        while true {
            let got = Glibc.read(descriptor, &piece, piece.count)
            guard got >= 0 else { throw FixtureFailure(description: "reading \(path)") }
            if got == 0 { return bytes }
            bytes += piece.prefix(got)
        }
    }

    /// Compiles `source` to a shared library.
    @discardableResult
    func compile(_ source: String, to name: String, _ arguments: [String] = []) throws -> String {
        try write(Array(source.utf8), to: name + ".c")
        let headers = Self.repository + "/Sources/PluginAPI/ABI/include"
        let compiler = try Self.run(
            ["gcc", "-shared", "-fPIC", "-O1", "-w", "-I", headers, "-o", path(name), path(name + ".c")] + arguments)
        guard compiler.status == 0 else { throw FixtureFailure(description: compiler.errors) }
        guard chmod(path(name), 0o755) == 0 else { throw FixtureFailure(description: "chmod \(name)") }
        return path(name)
    }

    /// Compiles a balancer whose parts are replaced as `definitions` (NAME=VALUE of the C preprocessor) say.
    @discardableResult
    func plugin(_ name: String = "plugin.so", _ definitions: [String] = [], _ arguments: [String] = []) throws -> String
    {
        try compile(Self.source, to: name, definitions.map { "-D" + $0 } + arguments)
    }

    static let source = """
        #include "sluice/plugin.h"
        #include <fcntl.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/prctl.h>
        #include <unistd.h>
        #ifndef BUILD
        #define BUILD 0
        #endif
        #ifndef NAME
        #define NAME "fixture"
        #endif
        #ifndef VERSION
        #define VERSION "1.2.3"
        #endif
        #ifndef VENDOR
        #define VENDOR "Tests"
        #endif
        #ifndef ABI
        #define ABI SLUICE_ABI_VERSION
        #endif
        #ifndef ID
        #define ID SLUICE_BALANCER
        #endif
        #ifndef SIZE
        #define SIZE sizeof(sluice_balancer)
        #endif
        #ifndef INSTANCING
        #define INSTANCING SLUICE_INSTANCE_SHARED
        #endif
        #ifndef COUNT
        #define COUNT 1
        #endif
        #ifndef PICK
        #define PICK pick
        #endif
        #ifndef ENTRY
        #define ENTRY
        #endif
        #ifdef CONSTRUCTOR
        __attribute__((constructor)) static void construct(void) { CONSTRUCTOR; }
        #endif
        uint32_t calls = BUILD * 1000;
        static sluice_status create(const sluice_host *host, const sluice_create *arguments, void **instance) {
          return 0;
        }
        static void destroy(void *instance) {}
        static uint32_t pick(void *instance, sluice_exchange *exchange, const sluice_request *request,
                             const sluice_pick *pick) { return ++calls; }
        static const sluice_balancer balancer = {{SIZE, INSTANCING, create, destroy}, PICK, NULL, NULL};
        static const sluice_extension extensions[] = {
          {SLUICE_TEXT(ID), &balancer}, {SLUICE_TEXT(ID), &balancer}};
        static const sluice_plugin plugin = {
          sizeof(sluice_plugin), ABI, SLUICE_TEXT(NAME), SLUICE_TEXT(VERSION), SLUICE_TEXT(VENDOR),
          SLUICE_TEXT("Apache-2.0"), SLUICE_TEXT("build"), extensions, COUNT, 0, NULL, NULL};
        #ifndef NO_ENTRY
        const sluice_plugin *sluice_plugin_entry(uint32_t version) { ENTRY; return &plugin; }
        #endif
        """
}

/// The refusal of a load that must fail.
func refusal(of result: Result<PluginImage, ImageRefusal>) throws -> ImageRefusal {
    switch result {
    case .success(let image):
        throw FixtureFailure(description: "\(image.path) was loaded")
    case .failure(let refusal): return refusal
    }
}
