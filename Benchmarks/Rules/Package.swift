// swift-tools-version: 6.1
import PackageDescription

/// What the evaluation of a rule costs. A package of its own: the gateway does not carry it.
///
///     swift run --configuration release --package-path Benchmarks/Rules
let package = Package(
    name: "sluice-rules-benchmark",
    targets: [
        .target(name: "SluiceABI"),
        .target(name: "CLinux"),
        .target(name: "NearestName"),
        .target(name: "Rules", dependencies: ["SluiceABI", "CLinux", "NearestName"]),
        .executableTarget(name: "RulesBenchmark", dependencies: ["Rules", "SluiceABI", "CLinux"]),
    ],
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)
