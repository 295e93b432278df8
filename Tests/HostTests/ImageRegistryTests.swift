import CLinux
import Glibc
import SluiceABI
import Testing

@testable import Host

/// What stays in the process, and what two generations of a plugin have in common: nothing.
@Suite struct ImageRegistryTests {
    let fixture: ImageFixture
    let registry: ImageRegistry

    init() throws {
        fixture = try ImageFixture()
        registry = fixture.registry
    }

    private func load(_ path: String) throws -> PluginImage {
        try registry.load(path: path, pin: nil, allowGroupWritable: false).get()
    }

    /// The next value of the plugin's own counter, which begins at its build's number times 1000.
    private func count(_ image: PluginImage) throws -> UInt32 {
        let table = try #require(image.table(SLUICE_BALANCER, as: sluice_balancer.self))
        let pick = try #require(table.pointee.pick)
        return pick(nil, nil, nil, nil)
    }

    @Test func loadedPluginTellsWhatItIs() throws {
        let image = try load(try fixture.plugin())
        #expect(image.name == "fixture")
        #expect(image.version == "1.2.3")
        #expect(image.vendor == "Tests")
        #expect(image.licence == "Apache-2.0")
        #expect(image.buildID == "build")
        #expect(image.extensions.map(\.id) == [SLUICE_BALANCER])
        #expect(image.entry.pointee.abi_version == UInt32(SLUICE_ABI_VERSION))
        #expect(image.table(SLUICE_ROUTER, as: sluice_router.self) == nil)
        #expect(image.table(SLUICE_BALANCER, as: sluice_adapter.self) == nil)
        #expect(registry.count == 1)
        #expect(registry.bytes == image.size)
    }

    @Test func theSameBytesAreTheSameImage() throws {
        let first = try load(try fixture.plugin())
        let again = try load(fixture.path("plugin.so"))
        let copy = try load(try fixture.write(try fixture.read("plugin.so"), to: "copy.so"))
        #expect(first === again)
        #expect(first === copy)
        #expect(registry.count == 1)
    }

    @Test func twoBuildsOfOneNameHaveTheirOwnGlobals() throws {
        let one = try load(try fixture.plugin("one.so", ["BUILD=1"], ["-Wl,-soname,libsame.so"]))
        let two = try load(try fixture.plugin("two.so", ["BUILD=2"], ["-Wl,-soname,libsame.so"]))
        #expect(one !== two)
        #expect(try count(one) == 1001)
        #expect(try count(two) == 2001)
        #expect(try count(one) == 1002)
        #expect(registry.count == 2)
    }

    @Test func fileThatWasRenamedOverIsAnotherImage() throws {
        let old = try load(try fixture.plugin("plugin.so", ["BUILD=3"]))
        try fixture.plugin("new.so", ["BUILD=4"])
        #expect(rename(fixture.path("new.so"), fixture.path("plugin.so")) == 0)
        let new = try load(fixture.path("plugin.so"))
        #expect(try count(new) == 4001)
        #expect(try count(old) == 3001)
    }

    /// Mapped is what was sealed: writing over the file that it came from changes nothing.
    @Test func fileThatWasOverwrittenInPlaceDoesNoHarm() throws {
        let path = try fixture.plugin("plugin.so", ["BUILD=5"])
        let image = try load(path)
        let size = try fixture.read("plugin.so").count
        let descriptor = open(path, O_WRONLY | O_TRUNC)
        let zeros = [UInt8](repeating: 0, count: size / 2)
        #expect(write(descriptor, zeros, zeros.count) == zeros.count)
        close(descriptor)
        #expect(try count(image) == 5001)
    }

    @Test func boundOfImages() throws {
        let one = fixture.registry { $0.count = 1 }
        let first = try one.load(path: try fixture.plugin("a.so", ["BUILD=6"]), pin: nil, allowGroupWritable: false)
            .get()
        let path = try fixture.plugin("b.so", ["BUILD=7"])
        let refusal = try refusal(of: one.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(refusal.reason == .tooManyImages)
        #expect(refusal.message.contains("restart the gateway"))
        // What is loaded goes on being found.
        let again = try one.load(path: fixture.path("a.so"), pin: nil, allowGroupWritable: false).get()
        #expect(first === again)
        #expect(one.count == 1)
    }

    @Test func boundOfBytes() throws {
        let path = try fixture.plugin()
        let size = try fixture.read("plugin.so").count
        let tight = fixture.registry { $0.bytes = size - 1 }
        let refusal = try refusal(of: tight.load(path: path, pin: nil, allowGroupWritable: false))
        #expect(refusal.reason == .tooManyBytes)
        #expect(refusal.message.contains("\(size - 1)"))
        let exact = fixture.registry { $0.bytes = size }
        #expect(try exact.load(path: path, pin: nil, allowGroupWritable: false).get().size == size)
    }

    @Test func everyKindOfExtensionIsKnown() {
        #expect(
            ExtensionKind.known.map(\.id) == [
                "sluice.adapter/1", "sluice.router/1", "sluice.balancer/1", "sluice.balancer/2", "sluice.batcher/1",
                "sluice.filter/1", "sluice.filter/2", "sluice.backend/1", "sluice.observer/1",
                "sluice.discovery/1", "sluice.discovery/2",
            ])
        // A field whose offset was not found would be a function that nobody checks.
        #expect(ExtensionKind.known.map(\.mandatory.count) == [8, 3, 3, 3, 4, 4, 4, 4, 3, 4, 4])
        for kind in ExtensionKind.known { #expect(Set(kind.mandatory.map(\.offset)).count == kind.mandatory.count) }
    }

    // MARK: inspect

    private var probe: ProbeCommand { ProbeCommand(executable: ImageFixture.sluice) }

    @Test func inspectionTellsWhatAPluginIs() throws {
        let path = try fixture.plugin("plugin.so", ["BUILD=8"])
        let (text, accepted) = inspectPlugin(path: path, probe: probe)
        #expect(accepted)
        let lines = Dictionary(
            text.split(separator: "\n").map { line in
                (String(line.prefix(12).prefix { $0 != " " }), String(line.dropFirst(12)))
            }, uniquingKeysWith: { $0 + "," + $1 })
        let bytes = try fixture.read("plugin.so")
        #expect(lines["file"] == path)
        #expect(lines["size"] == "\(bytes.count) bytes")
        #expect(lines["sha256"] == bytes.withUnsafeBytes { sha256($0) }.map(hexadecimal))
        #expect(lines["needs"] == "no library")
        #expect(lines["Swift"] == "no Swift code")
        #expect(lines["name"] == "fixture")
        #expect(lines["version"] == "1.2.3")
        #expect(lines["vendor"] == "Tests")
        #expect(lines["licence"] == "Apache-2.0")
        #expect(lines["build"] == "build")
        #expect(lines["ABI"] == abiText(UInt32(SLUICE_ABI_VERSION)))
        #expect(lines["offers"] == "sluice.balancer/1 (one instance for all workers)")
        #expect(lines["verdict"] == "accepted")
    }

    @Test func inspectionTellsWhyAPluginIsRefused() throws {
        let (text, accepted) = inspectPlugin(
            path: try fixture.plugin("plugin.so", ["CONSTRUCTOR=abort()"]), probe: probe)
        #expect(!accepted)
        #expect(text.contains("verdict     refused (probe-crashed): it crashes while it is loaded (Aborted)"))
        #expect(text.contains("sha256"))
        let missing = inspectPlugin(path: fixture.path("gone.so"), probe: probe)
        #expect(!missing.accepted)
        #expect(missing.text.contains("verdict     refused (not-found): there is no such file"))
    }

    @Test func inspectionWarnsOfRunPathsThatFindNothing() throws {
        let path = try fixture.plugin("plugin.so", [], ["-Wl,-rpath,$ORIGIN/lib"])
        #expect(inspectPlugin(path: path, probe: probe).text.contains("run path    $ORIGIN/lib ($ORIGIN finds nothing"))
    }
}
