"""From measurements to the table: medians, spreads, ratios of pairs, targets. Pure functions of the samples."""

import statistics

# The project's targets for HTTP/1.1 at the fixed rates, as median ratios of paired rounds.
TARGET_RIVAL = 0.82
TARGET_RELAY = 1.25
# What routing and balancing add to the processor time of a request, in µs.
TARGET_ADDED = 0.5
# Fewer rounds in which both sides were measured say nothing about a median.
FEWEST_PAIRS = 3


def spread(values):
    """The median, the least and the greatest."""
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values)}


def valid(rounds, proxy):
    """{round: measurement} of one proxy, only those that count."""
    return {
        number: measured[proxy] for number, measured in enumerate(rounds)
        if proxy in measured and not measured[proxy].invalid}


def paired_ratio(rounds, proxy, other):
    """The spread of the ratios of processor time a request in the rounds in which both count, and their number.
    None when they are too few."""
    ours, theirs = valid(rounds, proxy), valid(rounds, other)
    pairs = [ours[number].microseconds / theirs[number].microseconds for number in ours if number in theirs]
    return {**spread(pairs), "pairs": len(pairs)} if len(pairs) >= FEWEST_PAIRS else None


def paired_difference(rounds, proxy, other):
    """The same of the differences, in µs."""
    ours, theirs = valid(rounds, proxy), valid(rounds, other)
    pairs = [ours[number].microseconds - theirs[number].microseconds for number in ours if number in theirs]
    return {**spread(pairs), "pairs": len(pairs)} if len(pairs) >= FEWEST_PAIRS else None


def cheapest(rounds, rivals):
    """The rival with the lowest median; None when none was measured."""
    medians = {
        rival: statistics.median(sample.microseconds for sample in samples.values())
        for rival in rivals if (samples := valid(rounds, rival))}
    return min(medians, key=medians.get) if medians else None


def summary(rounds, proxies, gateways, rivals, floor, has_target, targets=(TARGET_RIVAL, TARGET_RELAY)):
    """Everything that is said about one scenario in one mode. `rounds` is a list of {proxy: Measurement}; `targets`
    are against the cheapest of `rivals` and against `floor`."""
    result = {"proxies": {}, "ratios": []}
    for proxy in proxies:
        samples = list(valid(rounds, proxy).values())
        refused = [measured[proxy].invalid for measured in rounds if proxy in measured and measured[proxy].invalid]
        result["proxies"][proxy] = {
            "rounds": len(samples), "refused": refused,
            "microseconds": spread([sample.microseconds for sample in samples]) if samples else None,
            "rate": spread([sample.rate for sample in samples]) if samples else None}
    rival = cheapest(rounds, rivals)
    for gateway in gateways:
        for other, target in zip((rival, floor), targets):
            if other is None:
                continue
            ratio = paired_ratio(rounds, gateway, other)
            result["ratios"].append({
                "gateway": gateway, "against": other, "ratio": ratio, "target": target if has_target else None,
                "met": ratio["median"] <= target if ratio and has_target else None})
    return result


def added(rounds, gateway, base, target=None):
    """What one variant takes beyond another one, as a line; nothing where there are too few pairs."""
    difference = paired_difference(rounds, gateway, base)
    if difference is None:
        return
    verdict = "" if target is None else (
        f"   target ≤ {target}: {'met' if difference['median'] <= target else 'MISSED'}")
    yield (f"  {gateway} - {base}: {difference['median']:.2f} µs ({difference['least']:.2f} – "
           f"{difference['greatest']:.2f}, {difference['pairs']} pairs){verdict}")


def lines(title, mode, result):
    """The table of one scenario in one mode."""
    head = f"{title}, {mode}" + (" req/s" if isinstance(mode, int) else "")
    yield head
    yield f"  {'CPU µs a request':<22}{'median':>9}{'min – max':>18}{'rounds':>8}{'req/s':>10}"
    for proxy, figures in result["proxies"].items():
        if figures["microseconds"] is None:
            yield f"  {proxy:<22}{'not measured: ' + figures['refused'][-1]}" if figures["refused"] else f"  {proxy}"
            continue
        cost = figures["microseconds"]
        extent = f"{cost['least']:.1f} – {cost['greatest']:.1f}"
        refused = f"   ({len(figures['refused'])} refused)" if figures["refused"] else ""
        yield (f"  {proxy:<22}{cost['median']:>9.1f}{extent:>18}{figures['rounds']:>8}"
               f"{figures['rate']['median']:>10.0f}{refused}")
    for entry in result["ratios"]:
        ratio = entry["ratio"]
        name = f"{entry['gateway']} / {entry['against']}"
        if ratio is None and entry["target"] is None:
            continue
        if ratio is None:
            yield f"  {name}: too few pairs"
            continue
        verdict = ""
        if entry["target"] is not None:
            verdict = f"   target ≤ {entry['target']}: {'met' if entry['met'] else 'MISSED'}"
        yield (f"  {name}: {ratio['median']:.2f} ({ratio['least']:.2f} – {ratio['greatest']:.2f}, "
               f"{ratio['pairs']} pairs){verdict}")
    yield ""
