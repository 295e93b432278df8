// swift-tools-version: 6.1
import PackageDescription

/// The linker script that leaves a plugin with one exported symbol, its entry. It hides the plugin's own copies of
/// the SDK and keeps C++ STB_GNU_UNIQUE statics of two generations apart.
let exportMap = "\(Context.packageDirectory)/Sources/PluginAPI/plugin.map"

/// Every shipped plugin is a shared library of its own, written against the ABI alone.
let swiftPlugins = [
    "OpenInference",
    "RestPredict",
    "OpenAI",
    "Passthrough",
    "ByVersion",
    "LeastRequest",
    "WeightedRoundRobin",
    "PowerOfTwo",
    "PeakEWMA",
    "RingHash",
    "Maglev",
    "BoundedLoad",
    "SizeOrDelay",
    "ApiKey",
    "LinearModel",
    "AccessLog",
    "ModelService",
    "TFServing",
    "LengthPrefixedTCP",
    "GRPCHealth",
    "Canary",
    "ABTest",
    "Priority",
    "Session",
    "Headers",
    "ContentBased",
    "QueueAware",
    "PrefixAware",
    "FileDiscovery",
    "JWT",
    "Cache",
    "DNSDiscovery",
    "EtcdDiscovery",
    "RateLimit",
    "Shadow",
]
let cPlugins = ["RoundRobin"]

/// Ten thousand runs of the simulator take 15 s optimised, 150 s otherwise: tests build these targets as releases do.
let simulated: [SwiftSetting] = [.unsafeFlags(["-O"], .when(configuration: .debug))]

let pluginLinkerSettings: [LinkerSetting] = [
    .unsafeFlags(["-Xlinker", "--version-script=\(exportMap)", "-Xlinker", "-z", "-Xlinker", "nodelete"])
]

let package = Package(
    name: "sluice",
    products: [
        .executable(name: "sluice", targets: ["sluice"]),
        .library(name: "SluicePlugin", targets: ["SluicePlugin"]),
        .library(name: "SluiceJSON", targets: ["SluiceJSON"]),
        .library(name: "SluiceProtobuf", targets: ["SluiceProtobuf"]),
        .library(name: "SluiceRouting", targets: ["SluiceRouting"]),
        .library(name: "SluiceHashing", targets: ["SluiceHashing"]),
        .library(name: "SluiceDigest", targets: ["SluiceDigest"]),
        .library(name: "SluiceBalancing", targets: ["SluiceBalancing"]),
        .library(name: "NearestName", targets: ["NearestName"]),
    ]
        + (swiftPlugins + cPlugins).map { .library(name: $0, type: .dynamic, targets: [$0]) },
    dependencies: [
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.5.0"),
        .package(url: "https://github.com/apple/swift-log", from: "1.6.0"),
    ],
    targets: [
        // What a third party needs: the header, and the Swift SDK over it.
        .target(name: "SluiceABI", path: "Sources/PluginAPI/ABI"),
        .target(name: "SluicePlugin", dependencies: ["SluiceABI"], path: "Sources/PluginAPI/SDK"),
        .target(name: "SluiceJSON", dependencies: ["SluiceABI", "SluicePlugin"], path: "Sources/PluginAPI/JSON"),
        .target(
            name: "SluiceProtobuf", dependencies: ["SluiceABI", "SluicePlugin", "SluiceJSON"],
            path: "Sources/PluginAPI/Protobuf"),
        // Keys, hashes and weighted choices for plugins that decide where a request goes.
        .target(
            name: "SluiceRouting", dependencies: ["SluicePlugin", "SluiceHashing"],
            path: "Sources/PluginAPI/Routing"),

        // "Did you mean" for whoever reads a configuration. Depends on nothing.
        .target(name: "NearestName", path: "Sources/PluginAPI/NearestName"),
        // Hashes, rings and draws for routers and balancers. Depends on nothing.
        .target(name: "SluiceHashing", path: "Sources/PluginAPI/Hashing"),
        // Digests by libcrypto, for plugins that know things again by their content.
        .target(
            name: "SluiceDigest", dependencies: ["CCrypto", "SluicePlugin", "SluiceHashing"],
            path: "Sources/PluginAPI/Digest"),
        // What balancers share: a pool's endpoints as a table, keys, draws among those that may be taken.
        .target(
            name: "SluiceBalancing", dependencies: ["SluicePlugin", "SluiceHashing", "SluiceRouting"],
            path: "Sources/PluginAPI/Balancing"),

        // The protocols of adapters, apart from the plugins around them, so that tests and fuzzers can link them.
        .target(
            name: "OpenInferenceCodec", dependencies: ["SluiceABI", "SluiceJSON", "SluiceProtobuf"],
            path: "Plugins/OpenInference/Codec"),
        .target(
            name: "RestPredictCodec", dependencies: ["SluiceABI", "SluiceJSON"], path: "Plugins/RestPredict/Codec"),
        .target(name: "OpenAICodec", dependencies: ["SluiceABI", "SluiceJSON"], path: "Plugins/OpenAI/Codec"),
        .target(
            name: "PassthroughCodec", dependencies: ["SluiceABI", "SluiceJSON"], path: "Plugins/Passthrough/Codec"),
        .target(
            name: "ModelServiceCodec", dependencies: ["SluiceABI", "SluiceJSON", "SluiceProtobuf"],
            path: "Plugins/ModelService/Codec"),
        .target(
            name: "TFServingCodec", dependencies: ["SluiceABI", "SluiceJSON", "SluiceProtobuf"],
            path: "Plugins/TFServing/Codec"),
        .target(
            name: "LengthPrefixedCodec", dependencies: ["SluiceABI", "SluiceJSON"],
            path: "Plugins/LengthPrefixedTCP/Codec"),
        .target(
            name: "GRPCHealthCodec", dependencies: ["SluiceABI", "SluiceJSON", "SluiceProtobuf"],
            path: "Plugins/GRPCHealth/Codec"),
        .target(
            name: "FileDiscoveryCodec", dependencies: ["SluiceABI", "SluiceJSON"],
            path: "Plugins/FileDiscovery/Codec"),
        .target(name: "DNSDiscoveryCodec", path: "Plugins/DNSDiscovery/Codec"),
        .target(
            name: "EtcdDiscoveryCodec", dependencies: ["SluiceABI", "SluiceJSON", "FileDiscoveryCodec"],
            path: "Plugins/EtcdDiscovery/Codec"),

        // Tokens and keys as text, likewise apart from libcrypto.
        .target(name: "TokenFormat", dependencies: ["SluiceABI", "SluiceJSON"], path: "Plugins/JWT/Format"),
        .target(name: "TokenKeys", dependencies: ["CCrypto", "TokenFormat"], path: "Plugins/JWT/Keys"),

        // What a cache knows of requests and keeps of answers, likewise apart.
        .target(name: "AnswerStore", dependencies: ["SluicePlugin", "SluiceHashing"], path: "Plugins/Cache/Store"),

        // What balancers read of loads and prompts, likewise apart.
        .target(name: "LoadReports", dependencies: ["SluicePlugin"], path: "Plugins/QueueAware/Reports"),
        .target(name: "PromptPrefix", dependencies: ["SluicePlugin"], path: "Plugins/PrefixAware/Prompt"),

        // What filters read or count, likewise.
        .target(name: "ApiKeyFormat", dependencies: ["SluiceHashing"], path: "Plugins/ApiKey/Format"),
        .target(name: "RateLimitBuckets", path: "Plugins/RateLimit/Buckets"),
        .target(name: "RateLimitProtocol", path: "Plugins/RateLimit/Protocol"),

        // System libraries and kernel interfaces that Glibc's module lacks.
        // DWARF 4: valgrind 3.19, Debian 12's, gives up on a binary with clang's DWARF 5.
        .target(
            name: "CLinux", path: "Sources/System/CLinux", cSettings: [.unsafeFlags(["-gdwarf-4"])]),
        .systemLibrary(
            name: "CYAML", path: "Sources/System/CYAML", pkgConfig: "yaml-0.1", providers: [.apt(["libyaml-dev"])]),
        .systemLibrary(
            name: "COpenSSL", path: "Sources/System/COpenSSL", pkgConfig: "openssl",
            providers: [.apt(["libssl-dev"])]),

        // Of OpenSSL what plugins need: signatures and digests.
        .systemLibrary(
            name: "CCrypto", path: "Sources/System/CCrypto", pkgConfig: "libcrypto", providers: [.apt(["libssl-dev"])]),

        // Calls the functions of libraries that rules name.
        .systemLibrary(
            name: "CFFI", path: "Sources/System/CFFI", pkgConfig: "libffi", providers: [.apt(["libffi-dev"])]),

        .systemLibrary(
            name: "CNGHTTP2", path: "Sources/System/CNGHTTP2", pkgConfig: "libnghttp2",
            providers: [.apt(["libnghttp2-dev"])]),

        // Undoes the codings of bodies that are to be read.
        .systemLibrary(
            name: "CZlib", path: "Sources/System/CZlib", pkgConfig: "zlib", providers: [.apt(["zlib1g-dev"])]),

        // Walls: pure cores that know neither sockets nor plugins.
        .target(name: "HTTP1", dependencies: ["SluiceABI"], path: "Sources/Host/HTTP1"),
        .target(
            name: "Configuration", dependencies: ["CYAML", "NearestName"], path: "Sources/Host/Configuration"),
        .target(name: "ELF", path: "Sources/Host/ELF"),
        .target(name: "Resilience", path: "Sources/Host/Resilience", swiftSettings: simulated),
        .target(name: "Rules", dependencies: ["SluiceABI", "CLinux", "NearestName"], path: "Sources/Host/Rules"),

        .target(
            name: "Host",
            dependencies: [
                "SluiceABI", "CLinux", "COpenSSL", "CNGHTTP2", "CFFI", "CZlib", "HTTP1", "Configuration", "ELF",
                "Resilience", "Rules",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "Logging", package: "swift-log"),
            ],
            path: "Sources/Host", exclude: ["HTTP1", "Configuration", "ELF", "Resilience", "Rules"]),
        .executableTarget(name: "sluice", dependencies: ["Host"], path: "Sources/Sluice"),

        .testTarget(name: "HTTP1Tests", dependencies: ["HTTP1", "SluiceHashing"]),
        // Balancers in virtual time; Benchmarks/pick.py compiles the same files for itself.
        .target(
            name: "BalancerSimulation", dependencies: ["SluiceABI"], path: "Benchmarks/Balancers",
            exclude: ["main.c"], linkerSettings: [.linkedLibrary("m")]),
        .target(name: "TestThreads", path: "Tests/TestThreads"),
        // Keys and tokens of the tests' own.
        .target(name: "TokenSigning", dependencies: ["CCrypto", "TokenFormat"], path: "Tests/TokenSigning"),
        .testTarget(name: "HashingTests", dependencies: ["SluiceDigest", "SluiceHashing"], exclude: ["Reference"]),
        .testTarget(
            name: "ConfigurationTests", dependencies: ["Configuration"], exclude: ["Corpus", "check_schema.py"]),
        .target(
            name: "ResilienceSimulation", dependencies: ["Resilience", "SluiceHashing"],
            path: "Tests/ResilienceSimulation", swiftSettings: simulated),
        .executableTarget(
            name: "resilience-simulator", dependencies: ["ResilienceSimulation"], path: "Tests/ResilienceSimulator"),
        .testTarget(
            name: "ResilienceTests",
            dependencies: ["Resilience", "ResilienceSimulation", "SluiceHashing", "TestThreads"]),
        .testTarget(name: "RulesTests", dependencies: ["Rules", "SluiceABI", "SluiceHashing"]),
        .testTarget(
            name: "HostTests",
            dependencies: [
                "Host", "HTTP1", "ELF", "Configuration", "Resilience", "SluiceABI", "SluiceHashing", "CLinux", "CZlib",
                "TestThreads",
            ]),
        .testTarget(
            name: "PluginTests",
            dependencies: [
                "SluicePlugin", "SluiceHashing", "SluiceRouting", "Rules", "SluiceABI", "CLinux",
                "BalancerSimulation", "LoadReports", "PromptPrefix", "TokenSigning", "AnswerStore", "RateLimitBuckets",
                "RateLimitProtocol", "ApiKeyFormat", "TestThreads",
            ],
            exclude: ["ABI"]),
        .testTarget(
            name: "AdapterTests",
            dependencies: [
                "SluiceABI", "SluiceHashing", "SluiceJSON", "SluiceProtobuf", "OpenInferenceCodec", "RestPredictCodec",
                "OpenAICodec", "PassthroughCodec", "ModelServiceCodec", "TFServingCodec", "LengthPrefixedCodec",
                "GRPCHealthCodec", "FileDiscoveryCodec", "DNSDiscoveryCodec", "EtcdDiscoveryCodec", "TokenFormat",
                "TokenKeys", "TokenSigning",
            ], exclude: ["Oracle"]),
        .testTarget(
            name: "EndToEndTests", dependencies: ["CLinux", "CNGHTTP2", "COpenSSL", "CZlib", "TokenSigning"],
            exclude: ["Clients", "ThirdParty"]),
    ]
        + swiftPlugins.map {
            .target(
                name: $0, dependencies: ["SluicePlugin"] + pluginLibraries($0), path: "Plugins/\($0)",
                exclude: pluginExtras($0),
                linkerSettings: pluginLinkerSettings)
        }
        + cPlugins.map {
            .target(name: $0, dependencies: ["SluiceABI"], path: "Plugins/\($0)", linkerSettings: pluginLinkerSettings)
        },
    swiftLanguageModes: [.v6],
    cLanguageStandard: .c11
)

/// Files beside a plugin's sources that are not compiled into it.
func pluginExtras(_ name: String) -> [String] {
    switch name {
    case "LinearModel": ["Training"]
    case "OpenInference", "RestPredict", "OpenAI", "Passthrough", "TFServing", "LengthPrefixedTCP", "GRPCHealth",
        "FileDiscovery", "DNSDiscovery", "EtcdDiscovery":
        ["Codec"]
    case "ModelService": ["Codec", "Example"]
    case "QueueAware": ["Reports"]
    case "PrefixAware": ["Prompt"]
    case "JWT": ["Format", "Keys"]
    case "Cache": ["Store"]
    case "RateLimit": ["Buckets", "Protocol"]
    case "ApiKey": ["Format"]
    default: []
    }
}

/// What a plugin links beside the SDK.
func pluginLibraries(_ name: String) -> [Target.Dependency] {
    switch name {
    case "OpenInference": ["SluiceJSON", "SluiceProtobuf", "OpenInferenceCodec"]
    case "ModelService": ["SluiceProtobuf", "ModelServiceCodec"]
    case "QueueAware": ["LoadReports", "SluiceBalancing"]
    case "PrefixAware": ["PromptPrefix", "SluiceBalancing"]
    case "TFServing": ["SluiceProtobuf", "TFServingCodec"]
    case "GRPCHealth": ["SluiceProtobuf", "GRPCHealthCodec"]
    case "FileDiscovery": ["SluiceJSON", "FileDiscoveryCodec"]
    case "DNSDiscovery": ["DNSDiscoveryCodec"]
    case "EtcdDiscovery": ["EtcdDiscoveryCodec", "COpenSSL"]
    case "ApiKey": ["ApiKeyFormat", "SluiceDigest", "SluiceHashing"]
    case "RateLimit":
        [
            "OpenAICodec", "RateLimitBuckets", "RateLimitProtocol", "SluiceDigest", "SluiceHashing", "SluiceJSON",
            "SluiceRouting",
        ]
    case "RestPredict": ["SluiceJSON", "RestPredictCodec"]
    case "LengthPrefixedTCP": ["SluiceJSON", "LengthPrefixedCodec"]
    case "OpenAI": ["SluiceJSON", "OpenAICodec"]
    case "Passthrough": ["SluiceJSON", "PassthroughCodec"]
    case "LeastRequest", "WeightedRoundRobin": ["SluiceBalancing"]
    case "PowerOfTwo", "PeakEWMA", "RingHash", "Maglev", "BoundedLoad": ["SluiceBalancing", "SluiceHashing"]
    case "ContentBased": ["NearestName"]
    case "Cache": ["AnswerStore", "SluiceDigest", "SluiceHashing"]
    case "JWT": ["SluiceDigest", "SluiceHashing", "TokenFormat", "TokenKeys"]
    case "ABTest", "Priority", "Headers": ["SluiceRouting"]
    case "Canary", "Session", "Shadow": ["SluiceHashing", "SluiceRouting"]
    default: []
    }
}
