import Foundation
import Testing

extension EndToEnd {
    @Suite struct LongNames {
        /// Of a long name a part is repeated, which ends with a whole character: with half of one the text could not be
        /// sent as JSON.
        @Test(arguments: 0..<4) func anErrorRepeatsWholeCharacters(_ before: Int) throws {
            let gateway = try Gateway(GatewayConfiguration())
            let start = String(repeating: "a", count: before)
            for (encoded, character) in [("%C3%A9", "é"), ("%E2%82%AC", "€"), ("%F0%9F%98%80", "😀")] {
                let answer = try gateway.get("/v2/models/\(start)\(String(repeating: encoded, count: 200))")
                #expect(answer.status == 404)
                let shown = start + String(repeating: character, count: (256 - before) / character.utf8.count)
                #expect(answer.bodyText.contains(shown + "\\\" is not known"), "\(answer.bodyText)")
            }
        }
    }
}
