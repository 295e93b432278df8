import Foundation
import Testing

extension EndToEnd {
    /// Files with several certificates are taken whole or not at all.
    @Suite struct CertificateFiles {
        /// What each file of certificates is for.
        enum Role: String, CaseIterable { case certificate, clientAuthorities, authorities }

        private let certificates: Certificates
        private let leaf: String
        private let authority: String

        init() throws {
            certificates = try Certificates()
            try certificates.make("server", "DNS:localhost")
            leaf = try String(contentsOfFile: certificates.file("server.pem"), encoding: .utf8)
            authority = try String(contentsOfFile: certificates.file("ca.pem"), encoding: .utf8)
        }

        private func configuration(_ role: Role) -> GatewayConfiguration {
            var configuration = GatewayConfiguration.web(["http://127.0.0.1:1"])
            let key = "key: \(certificates.file("server.key"))"
            switch role {
            case .certificate:
                configuration.listeners = [
                    "127.0.0.1:0\n      tls: { certificate: \(certificates.file("several.pem")), \(key) }"
                ]
            case .clientAuthorities:
                configuration.listeners = [
                    certificates.listener("server", ", client_ca: \(certificates.file("several.pem"))")
                ]
            case .authorities:
                configuration = .web(
                    ["https://127.0.0.1:1"], version: ", tls: { ca: \(certificates.file("several.pem")) }")
            }
            return configuration
        }

        /// `sluice check` of a configuration whose file holds this.
        private func check(_ role: Role, _ content: String) throws -> (status: Int32, errors: String) {
            try certificates.directory.write("several.pem", content)
            let directory = try TemporaryDirectory()
            try directory.write("plugins.yaml", configuration(role).text(in: directory))
            let result = try Gateway.command(["check", "--config", directory.file("plugins.yaml")])
            return (result.status, result.output + result.errors)
        }

        /// The line `number` of a certificate, from 0, put through `change`; nil takes it out.
        private func changed(_ number: Int, _ change: (String) -> String?) -> String {
            var lines = authority.split(separator: "\n").map(String.init)
            if let line = change(lines[number]) { lines[number] = line } else { lines.remove(at: number) }
            return lines.joined(separator: "\n") + "\n"
        }

        @Test(arguments: Role.allCases) func aBrokenCertificateIsNotPassedOver(_ role: Role) throws {
            let place = "of `\(certificates.file("several.pem"))`"
            let broken: [(what: String, second: String, named: String)] = [
                ("cut short", String(authority.prefix(authority.utf8.count / 2)), "certificate 2 \(place)"),
                ("cut behind its first line", "-----BEGIN CERTIFICATE-----\n", "certificate 2 \(place)"),
                ("cut in its last line", String(authority.dropLast(8)), "certificate 2 \(place)"),
                ("no base 64", changed(2) { "!" + $0.dropFirst() } + authority, "certificate 2 \(place)"),
                ("no DER", changed(2) { _ in nil } + authority, "certificate 2 \(place)"),
                ("a broken first line", changed(0) { String($0.dropLast()) } + authority, "line \(place) is broken"),
                ("a first line cut short", "-----BEGIN CERTIF", "line \(place) is broken"),
                ("a first word cut short", "-----BEG", "line \(place) is broken"),
                ("behind the mark of UTF-8", "\u{FEFF}" + authority, "line \(place) is broken"),
            ]
            for (what, second, named) in broken {
                let result = try check(role, leaf + second)
                #expect(result.status == 1, "\(what): \(result)")
                #expect(result.errors.contains(named), "\(what): \(result)")
                #expect(result.errors.contains("plugins.yaml:"), "\(what): \(result)")
            }
        }

        @Test(arguments: Role.allCases) func wordsBetweenCertificatesArePassedOver(_ role: Role) throws {
            let key = try String(contentsOfFile: certificates.file("server.key"), encoding: .utf8)
            let good: [(what: String, content: String)] = [
                ("words", "Subject: é\n----------\n" + leaf + "\n# Authority\n=====\n-----\n" + authority + "end"),
                ("lines as Windows ends them", (leaf + authority).replacingOccurrences(of: "\n", with: "\r\n")),
                ("white space behind lines", (leaf + authority).replacingOccurrences(of: "-\n", with: "- \t\n")),
                ("a key among them", leaf + key + authority),
                ("no line end", String((leaf + authority).dropLast())),
                ("one twice", leaf + authority + authority),
            ]
            for (what, content) in good {
                let result = try check(role, content)
                #expect(result.status == 0, "\(what): \(result)")
            }
            let result = try check(role, "")
            #expect(result.status == 1 && result.errors.contains("holds no certificate in PEM"), "\(result)")
        }

        /// A key of 512 bits is below what OpenSSL takes at any level of security but 0.
        @Test func aCertificateThatOpenSSLRefusesIsNotLeftOutOfItsChain() throws {
            try certificates.openssl([
                "req", "-x509", "-newkey", "rsa:512", "-nodes", "-days", "30", "-subj", "/CN=weak", "-keyout",
                certificates.file("weak.key"), "-out", certificates.file("weak.pem"),
            ])
            let weak = try String(contentsOfFile: certificates.file("weak.pem"), encoding: .utf8)
            let result = try check(.certificate, leaf + authority + weak)
            #expect(result.status == 1, "\(result)")
            #expect(
                result.errors.contains("certificate 3 of `\(certificates.file("several.pem"))` is refused"),
                "\(result)")
        }

        @Test func aReloadWithABrokenChainChangesNothing() throws {
            try certificates.directory.write("several.pem", leaf + authority)
            let gateway = try Gateway(configuration(.certificate))
            func shown() throws -> Int {
                let client = try ChildProcess.run(
                    "/usr/bin/openssl", ["s_client", "-showcerts", "-connect", "127.0.0.1:\(gateway.port)"])
                return client.output.components(separatedBy: "-----BEGIN CERTIFICATE-----").count - 1
            }
            #expect(try shown() == 2)
            try certificates.directory.write("several.pem", leaf + authority.prefix(200))
            let outcome = try gateway.reload()
            #expect(outcome.status == 1)
            #expect((outcome.output + outcome.errors).contains("certificate 2 of"), "\(outcome)")
            #expect(try shown() == 2)
        }
    }
}
