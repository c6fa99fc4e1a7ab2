"""Bids as fast as it can from many processes, audits the books, and prints one line of JSON. README.md explains it."""

import argparse
import gc
import json
import multiprocessing
import os
import platform
import random
import sys
import time
from array import array
from collections import deque
from multiprocessing.connection import Connection
from typing import NamedTuple
from uuid import uuid4


class Load(NamedTuple):
    """What one process does."""

    auctions: list[int]
    bidders: list[int]
    callers: int
    warmup: float
    seconds: float
    keys: bool
    by_hand: bool


class Result(NamedTuple):
    """What one process did: in the measured time, except for `ever_accepted`."""

    accepted: int
    rejected: int
    ever_accepted: int
    latencies: array


def bid(load: Load, parent: Connection) -> None:
    """One process with one connection. Its callers take turns; each calls again as soon as it has its answer."""
    from auctions import by_hand, services
    from auctions.rules import BidRefused
    from django.db import connection

    place_bid = by_hand.place_bid if load.by_hand else services.place_bid
    connection.ensure_connection()
    random.seed()
    # All that lives now lives until the end: the garbage collector need not look at it again.
    gc.collect()
    gc.freeze()
    parent.send("ready")
    start: float = parent.recv()
    measure = start + load.warmup
    end = measure + load.seconds
    time.sleep(max(0.0, start - time.monotonic()))

    accepted = rejected = ever_accepted = 0
    latencies = array("d")
    called = deque([start] * load.callers)
    answered = start
    while answered < end:
        key = str(uuid4()) if load.keys else None
        try:
            place_bid(random.choice(load.auctions), random.choice(load.bidders), key=key)
            refused = False
        except BidRefused:
            refused = True
        answered = time.monotonic()
        latency = answered - called.popleft()
        called.append(answered)
        ever_accepted += not refused
        if measure <= answered < end:
            rejected += refused
            accepted += not refused
            latencies.append(latency)
    parent.send(Result(accepted, rejected, ever_accepted, latencies))


def run(processes: int, callers: int, **load) -> list[Result]:
    """Starts the processes, lets them begin together, and collects their results."""
    # Nothing is to be loaded again in the processes, and no connection is open that they could share.
    context = multiprocessing.get_context("fork")
    ends = []
    for n in range(processes):
        ours, theirs = context.Pipe()
        share = callers // processes + (n < callers % processes)
        context.Process(target=bid, args=(Load(callers=share, **load), theirs), daemon=True).start()
        theirs.close()
        ends.append(ours)
    try:
        for each in ends:
            each.recv()
        start = time.monotonic() + 0.05
        for each in ends:
            each.send(start)
        return [each.recv() for each in ends]
    except EOFError:
        sys.exit("a process has failed, see above")


def percentile(latencies: list[float], share: float) -> float:
    """In milliseconds; of a sorted list."""
    if not latencies:
        return 0.0
    return round(1000 * latencies[min(len(latencies) - 1, int(share * len(latencies)))], 3)


def log(sentence: str) -> None:
    print(sentence, file=sys.stderr)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/peers/django/run", description=__doc__)
    parser.add_argument("--database-url", required=True, help="postgres://user:password@host:port/database")
    parser.add_argument("--auctions", type=int, required=True)
    parser.add_argument("--wallets", type=int, required=True)
    parser.add_argument("--processes", type=int, required=True, help="each has one connection")
    parser.add_argument("--seconds", type=float, required=True, help="measured, after the warm-up")
    parser.add_argument("--callers", type=int, help="who call at once, by default one for each process")
    parser.add_argument("--warmup", type=float, default=1.0, help="seconds")
    parser.add_argument(
        "--keys", action=argparse.BooleanOptionalAction, default=True, help="an idempotency key per bid"
    )
    parser.add_argument("--by-hand", action="store_true", help="hand-written SQL instead of the ORM")
    options = parser.parse_args()
    if options.callers is None:
        options.callers = options.processes
    if min(options.auctions, options.wallets, options.processes, options.callers) < 1:
        parser.error("there must be an auction, a wallet, a process and a caller")
    if options.seconds <= 0 or options.warmup < 0:
        parser.error("there must be some time")
    # More processes would have nobody to serve.
    options.processes = min(options.processes, options.callers)
    return options


def main() -> None:
    options = arguments()
    os.environ["DATABASE_URL"] = options.database_url
    os.environ["DJANGO_SETTINGS_MODULE"] = "settings"

    import django

    django.setup()

    from auctions import books, by_hand, services  # noqa: F401  (the processes are to find them loaded)
    from django.db import connection

    books.create_tables()
    auctions, bidders = books.fill(options.auctions, options.wallets)
    connection.close()
    log(f"{options.processes} processes bid for {options.warmup} + {options.seconds} s")
    results = run(
        options.processes,
        options.callers,
        auctions=auctions,
        bidders=bidders,
        warmup=options.warmup,
        seconds=options.seconds,
        keys=options.keys,
        by_hand=options.by_hand,
    )

    broken = list(books.audit(sum(result.ever_accepted for result in results), options.keys))
    for sentence in broken:
        log(f"audit: {sentence}")
    if broken:
        sys.exit("the books are wrong")
    accepted = sum(result.accepted for result in results)
    latencies = sorted(latency for result in results for latency in result.latencies)
    print(
        json.dumps(
            {
                "accepted": accepted,
                "rejected": sum(result.rejected for result in results),
                "seconds": options.seconds,
                "per_second": round(accepted / options.seconds, 1),
                "p50_ms": percentile(latencies, 0.50),
                "p99_ms": percentile(latencies, 0.99),
                "processes": options.processes,
                "django": django.get_version(),
                "python": platform.python_version(),
            }
        )
    )


if __name__ == "__main__":
    main()
