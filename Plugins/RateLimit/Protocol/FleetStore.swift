/// What is asked of Redis: one script for up to so many buckets, and its answer.
public enum FleetStore {
    /// A script of so many keys takes well under a millisecond, in which Redis does nothing else.
    public static let bucketsAtOnce = 512

    /// Of each bucket the time, in microseconds of the store's clock, at which it is full. What a gateway took moves it
    /// on by `cost`; and it is not before `least` from now, which is where it would be had it been full before. So a
    /// charge counts from when it was made, however late it is told. What is given back moves it back, at most to when
    /// that was. It is kept for a while after it is full: charges of that time may be told yet. The answer says how far
    /// each is from full, in microseconds, or why that bucket is refused, which leaves the others alone. What is found
    /// under these names and is no number is nobody's, and written over.
    ///
    /// The first key holds three numbers. The first is drawn with it and comes first in the answer: another one than
    /// before says that what was told before is forgotten. The other two make of Redis' clock one that is never set
    /// back, or a bucket would seem as far from full as the step was: what is added to it, and when it was last seen.
    /// It is written before all others, so that a Redis that takes no writes has taken nothing of the rest.
    ///
    /// Microseconds since 1970 and 104 days more are below 2^53, so Lua's numbers hold them exactly.
    static let script = """
        local time = redis.call('TIME')
        local now = time[1] * 1000000 + time[2]
        local clock = redis.pcall('GET', KEYS[1])
        local function fails(reply)
          return type(reply) == 'table' and reply.err and not string.find(reply.err, 'WRONGTYPE', 1, true)
        end
        if fails(clock) then return redis.error_reply(clock.err) end
        local epoch, offset, last
        if type(clock) == 'string' then epoch, offset, last = string.match(clock, '^(%d+) (%d+) (%d+)$') end
        if epoch then
          offset = offset + math.max(last - offset - now, 0)
        else
          epoch, offset = string.format('%.0f', now), 0
        end
        now = now + offset
        redis.call('SET', KEYS[1], string.format('%s %.0f %.0f', epoch, offset, now))
        local answer = { tonumber(epoch) }
        for i = 2, #KEYS do
          local known = redis.pcall('GET', KEYS[i])
          if fails(known) then
            answer[i] = known.err
          else
            local full = type(known) == 'string' and tonumber(known) or 0
            if not (full > 0) then full = 0 end
            local cost, least = tonumber(ARGV[2 * i - 2]), tonumber(ARGV[2 * i - 1])
            local moved = math.min(math.max(full + cost, now + least), now + 9007199254740)
            answer[i] = math.max(math.ceil(moved - now), 0)
            if moved ~= full and (cost ~= 0 or least > 0) then
              local kept = math.max(math.ceil((moved - now) / 1000), 0) + ARGV[1]
              local done = redis.pcall('SET', KEYS[i], string.format('%.0f', moved), 'PX', kept)
              if fails(done) then answer[i] = done.err end
            end
          end
        end
        return answer
        """

    /// The name of a bucket's number.
    public static func name(_ key: UInt64, prefix: String) -> String {
        let digits = String(key, radix: 16)
        return "{\(prefix)}:" + String(repeating: "0", count: 16 - digits.count) + digits
    }

    /// - Parameters:
    ///   - charges: hashes of buckets, what was taken, and how far from now they are full at the earliest; nanoseconds.
    ///   - prefix: of all names. In braces, so that a cluster keeps them in one place, which a script's must be in.
    ///   - keep: milliseconds for which a bucket that is full may be charged for what was before.
    public static func command(
        _ charges: some Collection<(key: UInt64, cost: Int64, least: Int64)>, prefix: String, keep: Int
    ) -> [UInt8] {
        var arguments = ["EVAL", script, "\(charges.count + 1)", "{\(prefix)}:clock"]
        for charge in charges { arguments.append(name(charge.key, prefix: prefix)) }
        arguments.append("\(keep)")
        for charge in charges {
            // Rounded away from 0: up for what is taken. A charge is never told as none.
            let (quotient, remainder) = charge.cost.quotientAndRemainder(dividingBy: 1_000)
            arguments.append("\(quotient + remainder.signum())")
            // And up: no earlier than the charge says.
            let (least, rest) = charge.least.quotientAndRemainder(dividingBy: 1_000)
            arguments.append("\(least + (rest > 0 ? 1 : 0))")
        }
        return RESPWriter.command(arguments)
    }

    /// How a bucket stands.
    public enum Standing: Equatable, Sendable {
        /// Nanoseconds that it is from full.
        case ahead(UInt64)
        /// It was not changed, for what Redis says.
        case refused(String)
    }

    public struct Answer: Equatable, Sendable {
        /// Another one than in the answer before: what was told before is forgotten.
        public let epoch: Int64
        public let buckets: [Standing]
    }

    /// As the script says, 2^53 ns.
    private static let microsecondsAtMost: Int64 = 9_007_199_254_740

    /// Nil when that is no answer to a command of `count` charges.
    public static func answer(_ value: RESPValue, count: Int) -> Answer? {
        guard case .array(let values?) = value, values.count == count + 1, case .integer(let epoch) = values[0] else {
            return nil
        }
        var buckets: [Standing] = []
        for value in values.dropFirst() {
            switch value {
            case .integer(let microseconds) where (0...microsecondsAtMost).contains(microseconds):
                buckets.append(.ahead(UInt64(microseconds) * 1_000))
            case .bulk(let text?): buckets.append(.refused(String(decoding: text, as: UTF8.self)))
            default: return nil
            }
        }
        return Answer(epoch: epoch, buckets: buckets)
    }
}
