"""Tests of what the benchmarks compute and send, without any server: python3 -m unittest discover -s Benchmarks"""

import json
import unittest

import faults
import load
import proxies
import report
import sse
from load import Measurement


def rounds(**columns):
    """Rounds from a column of costs a proxy; None is a measurement that does not count."""
    return [
        {name: Measurement(cost or 0.0, 6400, 100, 1.0, "" if cost else "noise") for name, cost in zip(columns, row)}
        for row in zip(*columns.values())]


class Faults(unittest.TestCase):
    def test_a_quantile_is_one_of_the_values(self):
        self.assertEqual(faults.quantile(range(1, 101), 0.99), 100)
        self.assertEqual(faults.quantile([3, 1, 2], 0.5), 2)
        self.assertEqual(faults.quantile([7], 0.99), 7)
        self.assertIsNone(faults.quantile([], 0.5))

    def test_a_request_belongs_to_the_window_in_which_it_began(self):
        answers = [faults.Answer(begin, begin + 5, 200) for begin in (0, 1, 2)]
        self.assertEqual(faults.within(answers, 1, 2), answers[1:2])
        self.assertEqual(faults.milliseconds(answers), (5000, 5000))
        self.assertEqual(faults.milliseconds([]), (None, None))


class Reports(unittest.TestCase):
    def test_a_ratio_is_the_median_over_pairs_and_not_the_ratio_of_medians(self):
        ratio = report.paired_ratio(rounds(ours=[10, 20, 30], theirs=[10, 10, 60]), "ours", "theirs")
        self.assertEqual((ratio["median"], ratio["least"], ratio["greatest"], ratio["pairs"]), (1.0, 0.5, 2.0, 3))

    def test_a_round_that_one_side_lost_is_no_pair(self):
        ratio = report.paired_ratio(rounds(ours=[10, None, 10, 10], theirs=[20, 20, 20, 20]), "ours", "theirs")
        self.assertEqual((ratio["median"], ratio["pairs"]), (0.5, 3))
        self.assertIsNone(report.paired_ratio(rounds(ours=[10, None, 10], theirs=[20, 20, 20]), "ours", "theirs"))

    def test_the_cheapest_rival_has_the_lowest_median_of_what_counts(self):
        self.assertEqual(report.cheapest(rounds(a=[10, 40, 40], b=[20, 20, 90], c=[None] * 3), ["a", "b", "c"]), "b")
        self.assertIsNone(report.cheapest(rounds(a=[None]), ["a"]))

    def test_targets_are_met_at_the_bound_and_missed_above_it(self):
        for ours, met in [(8.2, True), (8.3, False)]:
            sample = rounds(sluice=[ours] * 3, nginx=[10.0] * 3, relay=[8.0] * 3)
            result = report.summary(sample, ["sluice", "nginx", "relay"], ["sluice"], ["nginx"], "relay", True)
            against = {entry["against"]: entry for entry in result["ratios"]}
            self.assertEqual(against["nginx"]["met"], met)
            self.assertTrue(against["relay"]["met"])
            self.assertEqual("MISSED" in "\n".join(report.lines("GET", 6400, result)), not met)

    def test_what_is_added_is_the_median_over_pairs(self):
        for more, verdict in [(0.5, "met"), (0.6, "MISSED")]:
            sample = rounds(more=[10 + more, 20 + more, None, 11 + more], base=[10, 20, 30, 11])
            self.assertIn(f"{more:.2f} µs", line := next(report.added(sample, "more", "base", 0.5)))
            self.assertIn(verdict, line)
            self.assertNotIn("target", next(report.added(sample, "more", "base")))
        self.assertEqual(list(report.added(rounds(more=[1, 1], base=[1, 1]), "more", "base")), [])

    def test_saturation_has_no_target(self):
        sample = rounds(sluice=[90.0] * 3, nginx=[10.0] * 3)
        result = report.summary(sample, ["sluice", "nginx"], ["sluice"], ["nginx"], None, False)
        self.assertIsNone(result["ratios"][0]["met"])


class Requests(unittest.TestCase):
    def test_every_body_has_the_same_size_and_is_what_its_adapter_reads(self):
        sizes = {len(request.body) for request in load.SCENARIOS["post"].sluice.values()}
        self.assertEqual(sizes | {len(load.SCENARIOS["post"].request.body)}, {load.POST_BYTES})
        tensor = json.loads(load.INFER.body)["inputs"][0]
        self.assertEqual(tensor["shape"][0] * tensor["shape"][1], len(tensor["data"]))
        self.assertEqual({len(row) for row in json.loads(load.PREDICT.body)["instances"]}, {4})

    def test_twelve_headers_are_twelve(self):
        self.assertEqual(len({name.lower() for name, _ in load.TWELVE_HEADERS}), 12)

    def test_a_lua_string_keeps_quotes_and_control_bytes(self):
        self.assertEqual(load._lua(b'a"\\\n'), '"a\\034\\092\\010"')

    def test_every_rate_divides_among_the_connections(self):
        self.assertEqual([rate % proxies.CONNECTIONS for rate in load.RATES], [0] * len(load.RATES))


class Events(unittest.TestCase):
    def test_a_chunked_body_is_read_whatever_its_chunks_are(self):
        whole = sse.event(3, 0) + sse.event(3, 1)
        for size in (1, 7, len(whole)):
            chunks = b"".join(sse.chunk(whole[at:at + size]) for at in range(0, len(whole), size))
            self.assertEqual(sse.body_of(chunks + sse.LAST_CHUNK), whole)

    def test_what_has_not_come_whole_is_no_part_of_a_body(self):
        self.assertEqual(sse.body_of(sse.chunk(b"one") + sse.chunk(b"two")[:-4]), b"one")


class Complaints(unittest.TestCase):
    GOOD = ("requests: 64 total, 64 started, 64 done, 64 succeeded, 0 failed, 0 errored, 0 timeout\n"
            "status codes: 64 2xx, 0 3xx, 0 4xx, 0 5xx\n")

    def test_h2load(self):
        self.assertEqual(load._errors(self.GOOD, 6400), "")
        self.assertIn("1 failed", load._errors(self.GOOD.replace("0 failed", "1 failed"), 6400))
        self.assertIn("3 5xx", load._errors(self.GOOD.replace("0 5xx", "3 5xx"), 6400))
        self.assertIn("h2load failed", load._errors("Could not resolve", 6400))

    def test_wrk(self):
        self.assertEqual(load._errors("Requests/sec: 10\n", load.SATURATION), "")
        self.assertIn("7", load._errors("Non-2xx or 3xx responses: 7\nRequests/sec: 10\n", load.SATURATION))

    def test_a_rate_outside_two_percent_does_not_count(self):
        for rate, counts in [(6400 * 1.019, True), (6400 * 0.979, False), (6400 * 1.03, False)]:
            self.assertEqual(load._rate_complaint(Measurement(1, rate, 100, 1), 6400, 0.02) == "", counts)


if __name__ == "__main__":
    unittest.main()
