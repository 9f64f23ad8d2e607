"""What a fleet needs, from the costs of its parts: the formulas of packaging/doc/sizing.md; for benches/sizing.

Times are seconds of one core, and sizes are bytes. N is the number of nodes, n the streams of a node, r the alerts/s.
"""
import collections
import math

# What the table assumes. A node has CORES for its broadcast loops and one more for everything else, and a network card
# of which it uses half; the last subscriber has an alert after PASS.
CORES = 3
PASS = 0.5
NETWORK = 10e9 / 8 / 2
# Headers of Ethernet, IP and TCP.
HEADERS = 14 + 20 + 32
# Below LimitNOFILE= of the unit, with room for connections that come and go.
MAX_STREAMS = 400_000
RING = 64 << 20
# Bytes of an idle stream in alertd: benches/README.md.
STREAM_MEMORY = 154
# Defaults of alertd: retry, alerts.retain_age and alerts.retain_count.
RETRY, KEPT_SECONDS, KEPT = 5, 7 * 86400, 1_000_000
SUBSCRIBERS, RATES = (10_000, 100_000, 1_000_000, 10_000_000), (1, 10, 100)


# Unit costs: name, unit, and what it is.
COSTS = {
    "node_second": ("s", "CPU of a node that does nothing, each second"),
    "node_alert": ("s", "CPU of a node for an alert: reading it from Redis, encoding it, waking a broadcast loop"),
    "node_publish": ("s", "CPU of a node for a publish"),
    "write": ("s", "CPU of a node for an alert to a stream, written alone"),
    "write_more": ("s", "CPU of a node for each further alert in the same write"),
    "connection": ("s", "CPU of a node for a new stream"),
    "replayed": ("s", "CPU of a node for each alert that a stream resumes behind"),
    "node_base": ("B", "memory of a node without streams"),
    "stream_kernel": ("B", "memory of a stream in the kernel"),
    "wire": ("B", "an alert on the way to a stream, without the headers of its packet"),
    "redis_second": ("s", "CPU of a Redis without nodes, each second"),
    "redis_node": ("s", "CPU of Redis for each node, each second"),
    "redis_alert": ("s", "CPU of Redis for storing an alert"),
    "redis_push": ("s", "CPU of Redis for sending an alert to a node"),
    "redis_resume": ("s", "CPU of Redis for a stream that resumes"),
    "redis_replayed": ("s", "CPU of Redis for each alert that it is behind"),
    "redis_wire": ("B", "an alert on the way to a node"),
    "redis_wire_node": ("B", "what Redis sends to each node, each second"),
    "redis_memory": ("B", "memory of a stored alert"),
    "redis_disk": ("B", "a stored alert in the append-only file"),
}
Units = collections.namedtuple("Units", COSTS)


def node_cpu(units, streams, rate, published=0.0):
    """Cores of a node while each alert is written alone."""
    return units.node_second + rate * (units.node_alert + streams * units.write) + published * units.node_publish


def node_memory(units, streams, alerts):
    """With so many alerts in its rings."""
    return units.node_base + min(RING, alerts * units.wire) + streams * STREAM_MEMORY


def redis_cpu(units, nodes, rate):
    return units.redis_second + nodes * units.redis_node + rate * (units.redis_alert + nodes * units.redis_push)


def redis_network(units, nodes, rate):
    return nodes * (units.redis_wire_node + rate * units.redis_wire)


def resume_cpu(units, streams, rate, pause):
    """Processor time of a node to which so many streams come back after a pause."""
    return streams * (units.connection + rate * pause * units.replayed)


def redis_resume_cpu(units, streams, rate, pause):
    """Processor time of Redis for streams that come back, if none comes at the same time as another."""
    return streams * (units.redis_resume + rate * pause * units.redis_replayed)


def streams_of_a_node(units, rate):
    """The most streams of a node, and what limits them."""
    alerts = max(1.0, rate * PASS)
    by = {
        "CPU": CORES * PASS / (units.write + (alerts - 1) * units.write_more),
        "network": NETWORK / (rate * (units.wire + HEADERS)),
        "descriptors": MAX_STREAMS,
    }
    limit = min(by, key=by.get)
    return by[limit], limit


def needs(units, subscribers, rate):
    """A row of the table."""
    most, limit = streams_of_a_node(units, rate)
    # One more than necessary, so that one may be lost.
    nodes = math.ceil(subscribers / most) + 1
    streams = subscribers / nodes
    kept = min(KEPT, rate * KEPT_SECONDS)
    again = streams / (nodes - 1)
    return {
        "subscribers": subscribers,
        "rate": rate,
        "nodes": nodes,
        "limit": limit if nodes > 2 else "one is enough",
        "streams": streams,
        "node_memory": node_memory(units, streams, math.inf) + streams * units.stream_kernel,
        "node_network": streams * rate * (units.wire + HEADERS),
        "fleet_network": subscribers * rate * (units.wire + HEADERS),
        "redis_cpu": redis_cpu(units, nodes, rate),
        "redis_network": redis_network(units, nodes, rate),
        "redis_memory": kept * units.redis_memory,
        "redis_back": redis_resume_cpu(units, streams, rate, RETRY),
        "reconnect": RETRY + resume_cpu(units, again, rate, RETRY) / CORES,
    }


def scaled(value, unit):
    """A value with three digits and a prefix of its unit."""
    for factor, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"), (1, ""), (1e-3, "m"), (1e-6, "µ"), (1e-9, "n")):
        if abs(value) >= factor:
            digits = max(0, 2 - math.floor(math.log10(abs(value) / factor) + 1e-9))
            return f"{value / factor:.{digits}f} {prefix}{unit}"
    return f"0 {unit}"


def units_table(units):
    lines = ["| name | value | |", "|---|---|---|"]
    lines += [f"| `{name}` | {scaled(getattr(units, name), unit)} | {what} |" for name, (unit, what) in COSTS.items()]
    return "\n".join(lines)


def table(units):
    """The table of the page, in Markdown."""
    titles = ["subscribers", "alerts/s", "nodes", "limited by", "streams of a node", "memory of a node", "network of a node"]
    titles += ["network of all nodes", "Redis, cores", "Redis, network", "Redis, memory", "all back", "Redis for it, unshared"]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for subscribers in SUBSCRIBERS:
        for rate in RATES:
            row = needs(units, subscribers, rate)
            cells = [f"{subscribers:,}", rate, row["nodes"], row["limit"], f"{row['streams']:,.0f}", scaled(row["node_memory"], "B")]
            cells += [scaled(8 * row[name], "bit/s") for name in ("node_network", "fleet_network")]
            cells += [f"{row['redis_cpu']:.2g}", scaled(8 * row["redis_network"], "bit/s"), scaled(row["redis_memory"], "B")]
            cells += [f"{row['reconnect']:.1f} s", f"{row['redis_back']:.2g} s"]
            lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    return "\n".join(lines)
