"""The same service with hand-written SQL instead of the ORM, in psycopg's pipeline mode."""

from functools import partial

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from .models import Transaction
from .rules import BidRefused, Standing, judge, must_cover
from .services import earlier_bid, notices

_HOLD, _RELEASE = Transaction.Kind.HOLD.value, Transaction.Kind.RELEASE.value

_KEY = "INSERT INTO auctions_idempotencykey (wallet_id, key, created_at) VALUES (%s, %s, %s) RETURNING id"
_AUCTION = f"SELECT {', '.join(Standing._fields)} FROM auctions_auction WHERE id = %s FOR UPDATE"
_WALLETS = "SELECT id, balance, locked_balance FROM auctions_wallet WHERE id IN (%s, %s) ORDER BY id FOR UPDATE"
_WALLET = "UPDATE auctions_wallet SET balance = %s, locked_balance = %s WHERE id = %s"
_MOVE = "INSERT INTO auctions_transaction (wallet_id, auction_id, kind, amount, created_at) VALUES (%s, %s, %s, %s, %s)"
_TWO_MOVES = f"{_MOVE}, (%s, %s, %s, %s, %s)"
_LEAD = "UPDATE auctions_auction SET price = %s, leader_id = %s, bid_count = %s WHERE id = %s"
_BID = """INSERT INTO auctions_bid (auction_id, bidder_id, key_id, amount, created_at)
          VALUES (%s, %s, %s, %s, %s) RETURNING id"""


def place_bid(auction_id: int, bidder_id: int, amount: int | None = None, key: str | None = None) -> int:
    """As `services.place_bid`."""
    try:
        with transaction.atomic(), connection.cursor() as cursor, connection.connection.pipeline():
            return _place_bid(cursor, auction_id, bidder_id, amount, key)
    except IntegrityError:
        earlier = key and earlier_bid(bidder_id, key)
        if not earlier:
            raise
        return earlier


def _place_bid(cursor, auction_id: int, bidder_id: int, amount: int | None, key: str | None) -> int:
    key_id = None
    if key is not None:
        cursor.execute(_KEY, (bidder_id, key, timezone.now()))
        [key_id] = cursor.fetchone()

    cursor.execute(_AUCTION, (auction_id,))
    row = cursor.fetchone()
    if row is None:
        raise BidRefused("there is no such auction")
    auction = Standing._make(row)
    now = timezone.now()
    amount, hold = judge(auction, bidder_id, amount, now)
    leader_id, price = auction.leader_id, auction.price

    cursor.execute(_WALLETS, (bidder_id, bidder_id if leader_id is None else leader_id))
    wallets = {id: money for id, *money in cursor.fetchall()}
    if bidder_id not in wallets:
        raise BidRefused("there is no such wallet")
    balance, locked = wallets[bidder_id]
    must_cover(balance, hold)

    held = (bidder_id, auction_id, _HOLD, hold, now)
    cursor.execute(_WALLET, (balance - hold, locked + hold, bidder_id))
    if leader_id is None or leader_id == bidder_id:
        cursor.execute(_MOVE, held)
    else:
        balance, locked = wallets[leader_id]
        cursor.execute(_WALLET, (balance + price, locked - price, leader_id))
        cursor.execute(_TWO_MOVES, (*held, leader_id, auction_id, _RELEASE, price, now))
        transaction.on_commit(partial(notices.append, ("outbid", auction_id, leader_id)))
    cursor.execute(_LEAD, (amount, bidder_id, auction.bid_count + 1, auction_id))
    cursor.execute(_BID, (auction_id, bidder_id, key_id, amount, now))
    [bid_id] = cursor.fetchone()
    return bid_id
