// Sets of keys: what is accepted has keys of an algorithm that is theirs and of its size, and every key becomes DER.
import FuzzDriver
import TokenFormat

fuzz { data, count in
    let text = Array(UnsafeBufferPointer(start: data, count: count))
    guard let set = try? KeySetText.read(text) else { return 0 }
    expect(set.keys.count + set.ignored.count <= KeySetText.keysAtMost, "a set has a bound")
    for key in set.keys {
        switch key.material {
        case .rsa(let modulus, let exponent):
            expect(key.algorithm.isRSA, "RSA signs by its own")
            expect(KeySetText.modulusBits.contains(modulus.count * 8 - modulus[0].leadingZeroBitCount), "not too small")
            expect(exponent.count <= 8 && exponent[exponent.count - 1] & 1 == 1, "an exponent is odd and short")
        case .curve(let curve, let x, let y):
            expect(key.algorithm == curve.algorithm && x.count == curve.size && y.count == curve.size, "of its size")
        case .ed25519(let x): expect(key.algorithm == .edDSA && x.count == 32, "of its size")
        }
        let der = DER.publicKey(key.material)
        expect(der[0] == 0x30 && der.count > 32, "a key becomes a sequence")
    }
    let narrowed = try? KeySetText.read(text, algorithms: [.es256])
    expect(narrowed?.keys.allSatisfy { $0.algorithm == .es256 } == true, "what is not listed is left out")
    return 0
}
