import SluicePlugin

/// Hashes of a text's prefixes, one for each block: that of block n is of everything up to its end, as model servers
/// hash the blocks of their caches (vLLM, "Automatic Prefix Caching"). Two texts have as many hashes in common as they
/// have whole blocks in common from their begin.
public enum PrefixHash {
    /// An odd number with as many ones as zeros: 2^64 over the golden ratio.
    private static let factor: UInt64 = 0x9E37_79B9_7F4A_7C15

    /// Writes the hashes of the whole blocks of `text`; what is left behind the last one has none.
    ///
    /// Each 8 bytes are folded in by one wide multiplication, the two halves of the product joined, as wyhash does.
    /// Somebody who tries finds two texts of one hash; all that comes of it is that one of them goes where it is cold.
    ///
    /// - Parameters:
    ///   - block: bytes, a multiple of 8.
    ///   - hashes: room for as many as are wanted at most. None is 0.
    /// - Returns: how many were written.
    public static func write(_ text: Bytes, block: Int, to hashes: UnsafeMutableBufferPointer<UInt64>) -> Int {
        precondition(block > 0 && block % 8 == 0, "a block is a multiple of 8 bytes")
        let count = min(text.count / block, hashes.count)
        return text.withUnsafeBytes { memory in
            var hash = factor
            for index in 0..<count {
                var offset = index &* block
                let end = offset &+ block
                while offset < end {
                    let word = memory.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
                    let product = (hash ^ UInt64(littleEndian: word)).multipliedFullWidth(by: factor)
                    // The sum keeps a word that happens to equal the hash from making all that follows alike.
                    hash = (product.high ^ product.low) &+ factor
                    offset &+= 8
                }
                hashes[index] = hash == 0 ? 1 : hash
            }
            return count
        }
    }
}
