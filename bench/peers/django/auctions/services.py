"""The service that an application's views call, on Django's ORM."""

from collections import deque
from functools import partial

from django.db import IntegrityError, transaction
from django.utils import timezone

from .models import Auction, Bid, IdempotencyKey, Transaction, Wallet
from .rules import BidRefused, Standing, judge, must_cover

# Built once: a query set costs more to build than to copy.
_AUCTION = Auction.objects.select_for_update().values_list(*Standing._fields)
# Always in the same order: two bids that need the same two wallets cannot block each other.
_WALLETS = Wallet.objects.select_for_update().order_by("pk").values_list("pk", "user", "balance", "locked_balance")

# Stands for the channel or the queue that an application hands its notices to.
notices: deque[tuple[str, int, int]] = deque(maxlen=100)


def place_bid(auction_id: int, bidder_id: int, amount: int | None = None, key: str | None = None) -> int:
    """Bids `amount`, or the lowest amount that is accepted once the auction is locked. Returns the id of the bid.

    A key that was used before gives the bid it was used for.
    """
    try:
        with transaction.atomic():
            return _place_bid(auction_id, bidder_id, amount, key)
    except IntegrityError:
        earlier = key and earlier_bid(bidder_id, key)
        if not earlier:
            raise
        return earlier


def earlier_bid(bidder_id: int, key: str) -> int | None:
    return Bid.objects.filter(key__wallet=bidder_id, key__key=key).values_list("pk", flat=True).first()


def _place_bid(auction_id: int, bidder_id: int, amount: int | None, key: str | None) -> int:
    # Before the auction is locked: whoever waits for the auction does not wait for this.
    key_id = None
    if key is not None:
        key_id = IdempotencyKey.objects.create(wallet_id=bidder_id, key=key, created_at=timezone.now()).pk

    row = list(_AUCTION.filter(pk=auction_id))
    if not row:
        raise BidRefused("there is no such auction")
    auction = Standing._make(row[0])
    now = timezone.now()
    amount, hold = judge(auction, bidder_id, amount, now)
    leader_id, price = auction.leader_id, auction.price

    wallets = {row[0]: Wallet(*row) for row in _WALLETS.filter(pk__in={bidder_id, leader_id} - {None})}
    bidder = wallets.get(bidder_id)
    if bidder is None:
        raise BidRefused("there is no such wallet")
    must_cover(bidder.balance, hold)

    move = partial(Transaction, auction_id=auction_id, created_at=now)
    bidder.balance -= hold
    bidder.locked_balance += hold
    moves = [move(wallet_id=bidder_id, kind=Transaction.Kind.HOLD, amount=hold)]
    if leader_id is not None and leader_id != bidder_id:
        leader = wallets[leader_id]
        leader.balance += price
        leader.locked_balance -= price
        moves.append(move(wallet_id=leader_id, kind=Transaction.Kind.RELEASE, amount=price))
        transaction.on_commit(partial(notices.append, ("outbid", auction_id, leader_id)))

    # Both wallets in one statement. They are there, for they are locked: this inserts none.
    Wallet.objects.bulk_create(
        wallets.values(), update_conflicts=True, unique_fields=["pk"], update_fields=["balance", "locked_balance"]
    )
    Transaction.objects.bulk_create(moves)
    Auction.objects.filter(pk=auction_id).update(price=amount, leader_id=bidder_id, bid_count=auction.bid_count + 1)
    bid = Bid(auction_id=auction_id, bidder_id=bidder_id, key_id=key_id, amount=amount, created_at=now)
    bid.save(force_insert=True)
    return bid.pk
