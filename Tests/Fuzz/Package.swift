// swift-tools-version: 6.1
import PackageDescription

/// Fuzzers, each one file `Sources/NAME/main.swift` with a corpus in `Corpus/` (run.sh says how that is named), and the
/// module it feeds. To add one, add a line here and, for a new module, a link in `Sources/` and a target below; one of
/// what a module keeps to itself is a line of `hostFuzzers`.
///
/// A package of its own, since libFuzzer's coverage has to be compiled into the modules under test, and a package
/// may set such flags only for its own targets: hence the links in place of a dependency.
let fuzzers = [
    "CacheControlFuzzer": "AnswerStore",
    "CookieFuzzer": "SluicePlugin",
    "DNSMessageFuzzer": "DNSDiscoveryCodec",
    "ELFFuzzer": "ELF",
    "EndpointListFuzzer": "FileDiscoveryCodec",
    "EtcdAnswerFuzzer": "EtcdDiscoveryCodec",
    "HTTP1RequestFuzzer": "HTTP1",
    "HTTP1ResponseFuzzer": "HTTP1",
    "HTTP1ChunkedFuzzer": "HTTP1",
    "KeySetFuzzer": "TokenFormat",
    "KeyFileFuzzer": "ApiKeyFormat",
    "LengthPrefixedFuzzer": "LengthPrefixedCodec",
    "LoadReportFuzzer": "LoadReports",
    "OpenAIFuzzer": "OpenAICodec",
    "RESPFuzzer": "RateLimitProtocol",
    "RuleFuzzer": "Rules",
    "PromptPrefixFuzzer": "PromptPrefix",
    "V2JSONFuzzer": "OpenInferenceCodec",
    "V2BinaryFuzzer": "OpenInferenceCodec",
    "V2ProtobufFuzzer": "OpenInferenceCodec",
    "TokenFuzzer": "TokenFormat",
    "TFServingFuzzer": "TFServingCodec",
    "YAMLFuzzer": "Configuration",
]

/// Fuzzers of what the host keeps to itself. The files under test are links too, one by one in `Sources/NAME/Host`: as
/// part of the executable they are open to it, and what they need stays visible.
let hostFuzzers: [String: [Target.Dependency]] = [
    "HTTP2HeadFuzzer": ["HTTP1", "SluiceABI", "CLinux", "CNGHTTP2"],
    "HTTP2RequestTextFuzzer": ["HTTP1", "SluiceABI", "CLinux", "CNGHTTP2"],
    "HTTP2FrameWalkFuzzer": [],
    "GRPCFuzzer": ["HTTP1", "SluiceABI", "CLinux"],
    "InflateFuzzer": ["HTTP1", "SluiceABI", "CLinux", "CZlib"],
]

/// libFuzzer hands each input over in memory of its exact size, so AddressSanitizer sees any read beyond it.
let instrumented: [SwiftSetting] = [.unsafeFlags(["-sanitize=fuzzer,address"])]

func fuzzer(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
    .executableTarget(
        name: name, dependencies: ["FuzzDriver"] + dependencies, swiftSettings: instrumented,
        // gold, the default, has an internal error on the coverage sections.
        linkerSettings: [.unsafeFlags(["-sanitize=fuzzer,address", "-use-ld=lld"])])
}

/// What a fuzzer needs besides the module under test.
func beside(_ module: String) -> [Target.Dependency] {
    switch module {
    case "DNSDiscoveryCodec": []
    case "Rules": ["SluiceABI"]
    case "AnswerStore": ["SluicePlugin"]
    default: module.hasSuffix("Codec") ? ["FuzzArena"] : []
    }
}

let package = Package(
    name: "sluice-fuzzers",
    targets: [
        .target(name: "SluiceABI", path: "Sources/SluiceABI"),
        .target(name: "HTTP1", dependencies: ["SluiceABI"], swiftSettings: instrumented),

        .target(name: "ELF", swiftSettings: instrumented),

        .systemLibrary(name: "CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .target(name: "NearestName"),
        .target(name: "Configuration", dependencies: ["CYAML", "NearestName"], swiftSettings: instrumented),

        .target(name: "CLinux"),
        .target(name: "Rules", dependencies: ["SluiceABI", "CLinux", "NearestName"], swiftSettings: instrumented),
        .systemLibrary(name: "CNGHTTP2", pkgConfig: "libnghttp2", providers: [.apt(["libnghttp2-dev"])]),
        .systemLibrary(name: "CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        .target(name: "SluicePlugin", dependencies: ["SluiceABI"], swiftSettings: instrumented),
        .target(name: "SluiceJSON", dependencies: ["SluiceABI", "SluicePlugin"], swiftSettings: instrumented),
        .target(
            name: "SluiceProtobuf", dependencies: ["SluiceABI", "SluicePlugin", "SluiceJSON"],
            swiftSettings: instrumented),
        .target(
            name: "OpenInferenceCodec", dependencies: ["SluiceABI", "SluiceJSON", "SluiceProtobuf"],
            swiftSettings: instrumented),
        .target(
            name: "TFServingCodec", dependencies: ["SluiceABI", "SluiceJSON", "SluiceProtobuf"],
            swiftSettings: instrumented),

        .target(
            name: "LengthPrefixedCodec", dependencies: ["SluiceABI", "SluiceJSON"], swiftSettings: instrumented),

        .target(
            name: "FileDiscoveryCodec", dependencies: ["SluiceABI", "SluiceJSON"], swiftSettings: instrumented),

        .target(name: "SluiceHashing", swiftSettings: instrumented),
        .target(name: "AnswerStore", dependencies: ["SluicePlugin", "SluiceHashing"], swiftSettings: instrumented),

        .target(name: "TokenFormat", dependencies: ["SluiceABI", "SluiceJSON"], swiftSettings: instrumented),
        .target(name: "DNSDiscoveryCodec", swiftSettings: instrumented),
        .target(
            name: "EtcdDiscoveryCodec", dependencies: ["SluiceABI", "SluiceJSON", "FileDiscoveryCodec"],
            swiftSettings: instrumented),
        .target(name: "ApiKeyFormat", dependencies: ["SluiceHashing"], swiftSettings: instrumented),
        .target(name: "RateLimitProtocol", swiftSettings: instrumented),

        .target(name: "OpenAICodec", dependencies: ["SluiceABI", "SluiceJSON"], swiftSettings: instrumented),

        .target(name: "LoadReports", dependencies: ["SluicePlugin"], swiftSettings: instrumented),
        .target(name: "PromptPrefix", dependencies: ["SluicePlugin"], swiftSettings: instrumented),

        .target(name: "CFuzzer"),
        .target(name: "FuzzDriver", dependencies: ["CFuzzer"]),
        // What fuzzers of adapters share.
        .target(
            name: "FuzzArena", dependencies: ["FuzzDriver", "SluiceABI", "SluiceJSON"], swiftSettings: instrumented),
    ]
        + fuzzers.sorted { $0.key < $1.key }.map { name, module in
            fuzzer(
                name,
                [.init(stringLiteral: module)]
                    + beside(module))
        }
        + hostFuzzers.sorted { $0.key < $1.key }.map { fuzzer($0, $1) },
    swiftLanguageModes: [.v6]
)
