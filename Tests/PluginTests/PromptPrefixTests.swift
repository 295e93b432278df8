import PromptPrefix
import SluicePlugin
import Testing

@Suite struct PromptPrefixTests {
    private func prompt(_ body: String, limit: Int = 4_096) -> String? {
        KeptText(body).withBytes { bytes in
            PromptText.find(in: bytes, names: [KeptText("messages"), KeptText("prompt")], limit: limit).map {
                String($0)
            }
        }
    }

    private func hashes(_ text: String, block: Int = 16, atMost: Int = 64) -> [UInt64] {
        KeptText(text).withBytes { bytes in
            [UInt64](unsafeUninitializedCapacity: atMost) { room, count in
                room.initialize(repeating: 0)
                count = PrefixHash.write(bytes, block: block, to: room)
            }
        }
    }

    @Test func thePromptIsFoundBehindOtherMembers() {
        #expect(prompt(#"{"prompt":"once \"upon\" a"}"#) == #"once \"upon\" a"#)
        #expect(
            prompt(#" { "n" : 1.5, "o":{"prompt":"no","a":["]"]}, "s":"}", "messages" : [{"c":"]"},{}] , "x":1}"#)
                == #"[{"c":"]"},{}"#)
        #expect(prompt(#"{"prompt":null,"messages":[]}"#) == "")
        #expect(prompt(#"{"other":"prompt"}"#) == nil)
        #expect(prompt(#"{"other" "prompt"}"#) == nil)
        #expect(prompt("[]") == nil)
        #expect(prompt("") == nil)
    }

    @Test func aPromptIsCutAndAnotherMemberIsNot() {
        #expect(prompt(#"{"prompt":"abcdefgh"}"#, limit: 3) == "abc")
        #expect(prompt(#"{"messages":["abcdefgh"]}"#, limit: 3) == #"["a"#)
        let long = String(repeating: "x", count: 70_000)
        #expect(prompt(#"{"other":"\#(long)","prompt":"a"}"#) == nil)
        // One that does not end is no JSON.
        #expect(prompt(#"{"prompt":"abc"#) == nil)
    }

    @Test func hashesAgreeAsFarAsTextsDo() {
        let text = String(repeating: "All happy families are alike; ", count: 4)
        let all = hashes(text)
        #expect(all.count == 7)
        #expect(Set(all).count == 7)
        #expect(hashes(text + " each").prefix(7) == all[...])
        #expect(hashes(String(text.prefix(40))) == Array(all.prefix(2)))
        #expect(hashes(text, atMost: 3) == Array(all.prefix(3)))
        var other = Array(text.utf8)
        other[50] ^= 1
        let changed = hashes(String(decoding: other, as: UTF8.self))
        #expect(changed.prefix(3) == all.prefix(3))
        for index in 3..<7 { #expect(changed[index] != all[index]) }
        #expect(hashes("short").isEmpty)
    }
}
