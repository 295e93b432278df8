import Foundation

/// Builds the plugins of `ThirdParty/` as people outside of this tree would.
enum ThirdParty {
    private static func source(_ name: String) throws -> String {
        try String(contentsOfFile: Clients.root + "/Tests/EndToEndTests/ThirdParty/" + name, encoding: .utf8)
    }

    /// A router, by `swiftc`, the header and its module map.
    static func router(to version: String, _ name: String, in directory: TemporaryDirectory) throws -> String {
        let input = try directory.write(
            "router-\(version).swift",
            try source("VersionRouter.swift").replacingOccurrences(of: "@VERSION@", with: version))
        let output = directory.file(name)
        let result = try ChildProcess.run(
            "swiftc",
            [
                "-O", "-emit-library", "-swift-version", "6", "-warnings-as-errors", "-module-name", "VersionRouter",
                "-I", CompiledPlugin.headerDirectory, "-Xlinker",
                "--version-script=\(Clients.root)/Sources/PluginAPI/plugin.map", "-Xlinker", "-z", "-Xlinker",
                "nodelete", "-o", output + ".new", input,
            ], directory: directory.path, .after(seconds: 120))
        guard result.status == 0 else { throw HarnessError("swiftc: \(result.errors)\(result.output)") }
        try CompiledPlugin.replace(output, with: output + ".new")
        return output
    }

    /// This tree as a git repository of its own with the tag 0.1.0: what a dependency by version is resolved from.
    static func repository(in directory: TemporaryDirectory) throws -> String {
        let script = """
            set -eu
            mkdir sluice
            git -C "$ROOT" ls-files -z --cached --others --exclude-standard |
                (cd "$ROOT" && xargs -0 sh -c 'for f; do [ ! -f "$f" ] || printf "%s\\0" "$f"; done' sh) |
                tar -C "$ROOT" --null --files-from=- -cf - | tar -C sluice -xf -
            cd sluice
            git init --quiet
            git add --all
            git -c user.name=Test -c user.email=test@example.com commit --quiet --no-gpg-sign -m Release
            git tag 0.1.0
            """
        let result = try ChildProcess.run(
            "sh", ["-c", script], directory: directory.path, environment: ["ROOT": Clients.root], .after(seconds: 60))
        guard result.status == 0 else { throw HarnessError("git: \(result.errors)") }
        return "file://" + directory.file("sluice")
    }

    /// An adapter, as a package that depends on this one by version.
    static func adapter(
        build: String, _ name: String, from repository: String, in directory: TemporaryDirectory
    ) throws -> String {
        try directory.write(
            "CommaAdapter/Package.swift",
            try source("CommaAdapter/Package.swift").replacingOccurrences(of: "@REPOSITORY@", with: repository))
        let path = "CommaAdapter/Sources/CommaAdapter/CommaAdapter.swift"
        try directory.write(path, try source(path).replacingOccurrences(of: "@BUILD@", with: build))
        let package = directory.file("CommaAdapter")
        let result = try ChildProcess.run(
            "swift",
            [
                "build", "--package-path", package, "--configuration", "release", "-Xlinker",
                "--version-script=\(package)/.build/checkouts/sluice/Sources/PluginAPI/plugin.map", "-Xlinker", "-z",
                "-Xlinker", "nodelete",
            ], .after(seconds: 400))
        guard result.status == 0 else { throw HarnessError("swift build: \(result.output)\(result.errors)") }
        let output = directory.file(name)
        try FileManager.default.copyItem(
            atPath: package + "/.build/release/libCommaAdapter.so", toPath: output + ".new")
        try CompiledPlugin.replace(output, with: output + ".new")
        return output
    }
}
