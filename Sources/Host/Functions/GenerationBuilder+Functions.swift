import Configuration
import Rules

/// `functions:`, from names to what rules can call.
extension GenerationBuilder {
    func loadFunctions() {
        for declared in settings.functions {
            if let fault = NativeFunction.fault(inName: declared.name) {
                error(declared.position, fault)
                continue
            }
            let signature: NativeSignature
            do throws(RuleError) {
                signature = try NativeSignature.parse(declared.signature)
            } catch {
                self.error(
                    declared.signaturePosition, of: "function `\(declared.name)`: ",
                    "column \(error.column) of the signature: \(error.message)")
                continue
            }
            guard let address = address(of: declared) else { continue }
            guard let call = NativeCall(address, signature) else {
                error(
                    declared.signaturePosition, of: "function `\(declared.name)`: ",
                    "libffi cannot call a function of this signature; simplify it")
                continue
            }
            memory.onFree { withExtendedLifetime(call) {} }
            functions.append(call.function(named: declared.name))
        }
    }

    private func address(of declared: Settings.FunctionSettings) -> UnsafeMutableRawPointer? {
        let library: FunctionLibraries.Library
        do throws(FunctionLibraries.Refusal) {
            library = try workshop.libraries.library(declared.library)
        } catch {
            self.error(declared.libraryPosition, of: "function `\(declared.name)`: ", error.message)
            return nil
        }
        do throws(FunctionLibraries.Refusal) {
            return try FunctionLibraries.symbol(declared.symbol, of: library)
        } catch {
            self.error(declared.symbolPosition, of: "function `\(declared.name)`: ", error.message)
            return nil
        }
    }
}
