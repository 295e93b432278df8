import CLinux
import Glibc
import SluiceABI
import Testing

@testable import Host

/// What only running code shows: constructors, symbols, libraries, and what the entry returns.
@Suite struct ImageProbeTests {
    let fixture: ImageFixture
    let registry: ImageRegistry

    init() throws {
        fixture = try ImageFixture()
        registry = fixture.registry
    }

    private func refuse(_ definitions: [String], _ arguments: [String] = []) throws -> ImageRefusal {
        let path = try fixture.plugin("plugin.so", definitions, arguments)
        let refusal = try refusal(of: registry.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(registry.count == 0)
        return refusal
    }

    @Test func undefinedSymbol() throws {
        let refusal = try refuse(["ENTRY=extern void nowhere(void); nowhere()"])
        #expect(refusal.reason == .undefinedSymbol)
        #expect(refusal.message.contains("nowhere"))
        #expect(!refusal.message.contains("/proc/self/fd"))
    }

    @Test func missingLibrary() throws {
        try fixture.compile("int gone(void) { return 1; }", to: "libgone.so")
        let path = try fixture.plugin("plugin.so", [], ["-L", fixture.directory, "-Wl,--no-as-needed", "-lgone"])
        #expect(unlink(fixture.path("libgone.so")) == 0)
        let refusal = try refusal(of: registry.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(refusal.reason == .missingLibrary)
        #expect(refusal.message.contains("libgone.so"))
    }

    @Test func constructorThatCrashes() throws {
        let refusal = try refuse(["CONSTRUCTOR=*(volatile int *)8 = 1"])
        #expect(refusal.reason == .probeCrashed)
        #expect(refusal.message.contains("Segmentation fault"))
    }

    @Test func constructorThatAbortsWithWords() throws {
        let refusal = try refuse([#"CONSTRUCTOR=fputs("licence expired\n", stderr); abort()"#])
        #expect(refusal.reason == .probeCrashed)
        #expect(refusal.message.contains("licence expired"))
    }

    @Test(arguments: ["CONSTRUCTOR", "ENTRY"]) func hang(_ place: String) throws {
        let path = try fixture.plugin("plugin.so", ["\(place)=for (;;) pause()"])
        let impatient = ImageRegistry(probe: ProbeCommand(executable: ImageFixture.sluice, timeLimit: 300))
        let refusal = try refusal(of: impatient.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(refusal.reason == .probeTimedOut)
        #expect(refusal.message.contains("300 ms"))
    }

    /// One that computes for ever has had its time, and is not kept waiting by others.
    @Test func constructorThatSpins() throws {
        let path = try fixture.plugin("plugin.so", ["CONSTRUCTOR=for (volatile int i = 0;;) i = 1"])
        let impatient = ImageRegistry(probe: ProbeCommand(executable: ImageFixture.sluice, timeLimit: 100))
        let refusal = try refusal(of: impatient.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(refusal.reason == .probeTimedOut)
    }

    @Test func whoWaitsForTheProcessorDoesNotHang() {
        func stat(_ state: String, _ user: Int, _ system: Int) -> String {
            "71 (a) b) \(state) 1 71 71 0 -1 4194304 100 0 0 0 \(user) \(system) 0 0 20 0 1 0 900 1000 10\n"
        }
        for (line, isKeptWaiting) in [
            (stat("R", 3, 6), true), (stat("D", 0, 0), true), (stat("R", 4, 6), false), (stat("S", 0, 0), false),
            (stat("T", 0, 0), false), (stat("Z", 0, 0), false), ("", false), ("71 (a) R", true), ("garbage", false),
        ] {
            #expect(ProbeProgress(stat: line, ticks: 100).isKeptWaiting(timeLimit: 100) == isKeptWaiting, "\(line)")
        }
        #expect(!ProbeProgress(stat: nil, ticks: 100).isKeptWaiting(timeLimit: 100))
        #expect(ProbeProgress(of: getpid()).state != "?")
    }

    @Test(arguments: ["exit(0)", "_exit(0)", "exit(7)"], ["CONSTRUCTOR", "ENTRY"])
    func exit(_ call: String, _ place: String) throws {
        let refusal = try refuse(["\(place)=\(call)"])
        #expect(refusal.reason == .probeExited)
        // ThreadSanitizer ends a process that exits within dlopen with a code of its own.
        let sanitizer = getenv("SLUICE_TEST_SANITIZER").map { String(cString: $0) }
        if sanitizer == "thread", place == "CONSTRUCTOR" { return }
        #expect(refusal.message.contains(call == "exit(7)" ? "code 7" : "code 0"))
    }

    /// An answer in the right form, on every descriptor there is, but not with the token.
    @Test(arguments: ["; _exit(0)", ""]) func forgedAnswer(_ end: String) throws {
        let answer =
            "00000000000000000000000000000000\\naccepted\\nname a\\nversion 1\\nvendor \\nlicence \\nbuild-id \\n"
            + "extension 1 sluice.balancer/1\\nend\\n"
        let refusal = try refuse([
            "CONSTRUCTOR=static const char text[] = \"\(answer)\"; "
                + "for (int i = 1; i < 20; i++) (void)!write(i, text, sizeof(text) - 1)\(end)"
        ])
        #expect(refusal.reason == .probeGarbled)
    }

    @Test func constructorThatFloodsItsErrors() throws {
        let path = try fixture.plugin("plugin.so", ["CONSTRUCTOR=for (;;) (void)!write(2, \"flood\\n\", 6)"])
        let impatient = ImageRegistry(probe: ProbeCommand(executable: ImageFixture.sluice, timeLimit: 300))
        let refusal = try refusal(of: impatient.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(refusal.reason == .probeTimedOut)
    }

    /// A constructor that leaves a process behind, which holds the descriptors of the probe: nobody waits for it.
    @Test func constructorThatForks() throws {
        let path = try fixture.plugin("plugin.so", ["CONSTRUCTOR=if (fork() == 0) for (;;) pause()"])
        let patient = ProbeCommand(executable: ImageFixture.sluice, timeLimit: 60_000)
        #expect(inspectPlugin(path: path, probe: patient).accepted)
    }

    @Test func probeThatCannotStart() throws {
        let path = try fixture.plugin()
        let registry = ImageRegistry(probe: ProbeCommand(executable: fixture.path("no-sluice")))
        let refusal = try refusal(of: registry.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(refusal.reason == .probeNotStarted)
    }

    @Test func probeHasNoPrivileges() throws {
        let check = "prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1 || chown(\"/proc/self/exe\", 1, 1) == 0"
        let path = try fixture.plugin("plugin.so", ["CONSTRUCTOR=if (\(check)) abort()"])
        #expect(inspectPlugin(path: path, probe: ProbeCommand(executable: ImageFixture.sluice)).accepted)
    }

    /// Where the kernel has Landlock, an inspected plugin leaves no trace in the file system.
    @Test(.enabled(if: clinux_can_deny_file_changes(), "the kernel has no Landlock"))
    func probeWritesNoFile() throws {
        let trace = fixture.path("trace")
        let path = try fixture.plugin("plugin.so", ["CONSTRUCTOR=close(open(\"\(trace)\", O_CREAT | O_WRONLY, 0600))"])
        #expect(inspectPlugin(path: path, probe: ProbeCommand(executable: ImageFixture.sluice)).accepted)
        #expect(access(trace, F_OK) != 0)
    }

    @Test func newerABI() throws {
        let refusal = try refuse(["ABI=(1u << 16 | 2)"])
        #expect(refusal.reason == .abiMismatch)
        #expect(refusal.message.contains("ABI 1.2"))
        #expect(refusal.message.contains("takes \(abiText(UInt32(SLUICE_ABI_VERSION))) only"))
        #expect(try refuse(["ABI=(SLUICE_ABI_VERSION + 1)"]).reason == .abiMismatch)
    }

    @Test func entryThatRefusesTheHost() throws {
        #expect(try refuse(["ENTRY=return NULL"]).reason == .entryRefused)
    }

    @Test(arguments: [
        (#"NAME="two words""#, "name"), (#"NAME="""#, "name"), (#"NAME="a\nend""#, "name"),
        (#"VERSION="1 2""#, "version"),
        (#"VENDOR="\xff\xfe""#, "vendor"), (#"VENDOR="\x1b[2J""#, "vendor"), (#"VENDOR="\u202e""#, "vendor"),
    ])
    func textOutOfBounds(_ definition: String, _ field: String) throws {
        let refusal = try refuse([definition])
        #expect(refusal.reason == .descriptionInvalid)
        #expect(refusal.message.contains("its \(field) "))
        #expect(refusal.message.unicodeScalars.allSatisfy(isPlain))
    }

    @Test(arguments: [
        ("COUNT=0", "0 extensions"), ("COUNT=17", "17 extensions"), ("COUNT=2", "twice"),
        ("SIZE=8", "struct_size of 8"),
        ("PICK=NULL", "`pick`"), ("INSTANCING=9", "instancing 9"),
    ])
    func extensionOutOfBounds(_ definition: String, _ words: String) throws {
        let refusal = try refuse([definition])
        #expect(refusal.reason == .extensionInvalid)
        #expect(refusal.message.contains(words))
    }

    @Test func extensionsThatThisHostDoesNotKnow() throws {
        let refusal = try refuse([#"ID="acme.teleporter/1""#])
        #expect(refusal.reason == .noKnownExtension)
        #expect(refusal.message.contains("acme.teleporter/1"))
    }

    @Test func answersAreReadStrictly() throws {
        let token = String(repeating: "a", count: ProbeChannel.tokenBytes)
        let description = try ImageDescription(
            name: "n", version: "1", vendor: "", licence: "", buildID: "b c",
            extensions: [.init(id: "x/9", instancing: nil), .init(id: SLUICE_ROUTER, instancing: 0)])
        let good = ProbeAnswer.accepted(description).encoded(token: token)
        #expect(ProbeAnswer(Array(good.utf8), token: token) == .accepted(description))
        let fault = ImageFault(.undefinedSymbol, "two\nlines")
        let refused = ProbeAnswer.refused(fault).encoded(token: token)
        #expect(
            ProbeAnswer(Array(refused.utf8), token: token) == .refused(ImageFault(.undefinedSymbol, "two?lines")))
        for size in 0..<good.utf8.count { #expect(ProbeAnswer(Array(good.utf8.prefix(size)), token: token) == nil) }
        #expect(ProbeAnswer(Array((good + "x").utf8), token: token) == nil)
        #expect(ProbeAnswer(Array((good + good).utf8), token: token) == nil)
        #expect(ProbeAnswer(Array(good.utf8), token: String(repeating: "b", count: 32)) == nil)
        let forged = good.replacing("name n", with: "name \u{1B}")
        #expect(ProbeAnswer(Array(forged.utf8), token: token) == nil)
        let parents = refused.replacing("undefined-symbol", with: "too-many-images")
        #expect(ProbeAnswer(Array(parents.utf8), token: token) == nil)
    }
}
