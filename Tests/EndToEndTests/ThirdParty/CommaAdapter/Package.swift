// swift-tools-version: 6.1
import PackageDescription

// What the author of an adapter outside of this tree has: a dependency by version, and nothing else.
let package = Package(
    name: "CommaAdapter",
    products: [.library(name: "CommaAdapter", type: .dynamic, targets: ["CommaAdapter"])],
    dependencies: [.package(url: "@REPOSITORY@", from: "0.1.0")],
    targets: [.target(name: "CommaAdapter", dependencies: [.product(name: "SluicePlugin", package: "sluice")])],
    swiftLanguageModes: [.v6]
)
