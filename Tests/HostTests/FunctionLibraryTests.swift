import CLinux
import Glibc
import Testing

@testable import Host

/// Libraries whose functions rules call: from their file to a function's address.
@Suite struct FunctionLibraryTests {
    let fixture: ImageFixture
    let libraries: FunctionLibraries

    init() throws {
        fixture = try ImageFixture()
        libraries = FunctionLibraries(probe: ProbeCommand(executable: ImageFixture.sluice))
    }

    private func answer(of library: FunctionLibraries.Library) throws -> UInt64 {
        typealias Answer = @convention(c) () -> UInt64
        return unsafeBitCast(try FunctionLibraries.symbol("answer", of: library), to: Answer.self)()
    }

    private func refusal(_ constructor: String, timeLimit: Int? = nil) throws -> String {
        let source = """
            #include <stdint.h>
            #include <stdlib.h>
            #include <unistd.h>
            __attribute__((constructor)) static void construct(void) { \(constructor); }
            uint64_t answer(void) { return 1; }
            """
        let path = try fixture.compile(source, to: "library.so")
        let libraries = FunctionLibraries(
            probe: ProbeCommand(executable: ImageFixture.sluice, timeLimit: timeLimit))
        do throws(FunctionLibraries.Refusal) {
            _ = try libraries.library(path)
            return "it was loaded"
        } catch {
            return error.message
        }
    }

    /// `cp` over a file writes into the pages that a mapping of it would show.
    @Test func overwritingTheFileChangesNothingThatIsLoaded() throws {
        let path = try fixture.compile("unsigned long answer(void) { return 1; }", to: "library.so")
        let old = try libraries.library(path)
        #expect(try answer(of: old) == 1)
        let other = try fixture.compile(
            "static char pad[20000] = {1}; unsigned long other(int i) { return pad[i]; } "
                + "unsigned long answer(void) { return other(0) + 1; }", to: "other.so")
        let bytes = try ImageFixture.contents(of: other)
        let descriptor = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC)
        defer { close(descriptor) }
        #expect(bytes.withUnsafeBytes { write(descriptor, $0.baseAddress, $0.count) } == bytes.count)
        #expect(try answer(of: old) == 1)
        let new = try libraries.library(path)
        #expect(try answer(of: new) == 2)
        #expect(try answer(of: old) == 1)
        #expect(try libraries.library(path).handle == new.handle)
        // The same bytes are the same library, whatever their path.
        #expect(try libraries.library(other).handle == new.handle)
    }

    @Test func aConstructorThatEndsTheProcessIsRefused() throws {
        #expect(try refusal("exit(3)").contains("a constructor ends the process with code 3"))
        #expect(try refusal("*(volatile int *)8 = 1").contains("it crashes while it is loaded (Segmentation fault)"))
        let hang = try refusal("for (;;) pause()", timeLimit: 300)
        #expect(hang.contains("did not load within 300 ms: a constructor hangs"), "\(hang)")
        #expect(try refusal("extern void nowhere(void); nowhere()").contains("undefined symbol: nowhere"))
        #expect(try refusal("") == "it was loaded")
    }

    @Test func whatTheGatewayIsLinkedToIsNotLoadedTwice() throws {
        let named = try libraries.library("libm.so.6")
        #expect(try libraries.library(named.path).handle == named.handle)
    }
}
