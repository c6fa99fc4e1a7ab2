"""Empties and fills the tables, and audits them."""

from collections.abc import Iterator
from datetime import timedelta

from django.db import connection
from django.db.models import BigIntegerField, Case, Count, F, Max, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from .models import Auction, Bid, IdempotencyKey, Transaction, Wallet

_MODELS = (Wallet, Auction, IdempotencyKey, Bid, Transaction)
_DEPOSIT = 10**15
_ZERO = Value(0, BigIntegerField())


def create_tables() -> None:
    """Makes the tables anew, whether there were any or not."""
    there = connection.introspection.table_names()
    with connection.schema_editor() as editor:
        for model in reversed(_MODELS):
            if model._meta.db_table in there:
                editor.delete_model(model)
        for model in _MODELS:
            editor.create_model(model)


def fill(auctions: int, wallets: int) -> tuple[list[int], list[int]]:
    """Opens the auctions of one seller and gives each bidder money. Returns the ids of both."""
    now = timezone.now()
    seller = Wallet.objects.create(user="seller")
    bidders = Wallet.objects.bulk_create(
        (Wallet(user=f"bidder {n}", balance=_DEPOSIT) for n in range(wallets)), batch_size=10_000
    )
    Transaction.objects.bulk_create(
        (
            Transaction(wallet=bidder, kind=Transaction.Kind.DEPOSIT, amount=_DEPOSIT, created_at=now)
            for bidder in bidders
        ),
        batch_size=10_000,
    )
    opened = Auction.objects.bulk_create(
        (
            Auction(
                title=f"auction {n}", seller=seller, start_price=1_000, increment=100, ends_at=now + timedelta(days=365)
            )
            for n in range(auctions)
        ),
        batch_size=10_000,
    )
    # What autovacuum would do a minute later.
    with connection.cursor() as cursor:
        cursor.execute("VACUUM (ANALYZE)")
    return [auction.pk for auction in opened], [bidder.pk for bidder in bidders]


def _total(queryset, group: str, expression) -> Coalesce:
    """The sum of `expression` over the rows of `queryset` that belong to the outer row."""
    rows = queryset.filter(**{group: OuterRef("pk")}).order_by().values(group).annotate(total=expression)
    return Coalesce(Subquery(rows.values("total"), BigIntegerField()), _ZERO)


def audit(accepted: int, keys: bool) -> Iterator[str]:
    """Yields a sentence for each law that the books break."""
    moved = Transaction.objects
    kind = Transaction.Kind
    deposits = moved.filter(kind=kind.DEPOSIT).aggregate(total=Sum("amount"))["total"]
    money = Wallet.objects.aggregate(total=Sum(F("balance") + F("locked_balance")))["total"]
    if money != deposits:
        yield f"{deposits} was deposited, but the wallets have {money}"

    signed = Case(When(kind=kind.HOLD, then=F("amount")), When(kind=kind.RELEASE, then=-F("amount")), default=_ZERO)
    put_in = Case(When(kind=kind.DEPOSIT, then=F("amount")), default=_ZERO)
    wallets = Wallet.objects.annotate(
        led=_total(Auction.objects.filter(status=Auction.Status.OPEN), "leader", Sum("price")),
        held=_total(moved, "wallet", Sum(signed)),
        free=_total(moved, "wallet", Sum(put_in - signed)),
    )
    for wallet in wallets.exclude(locked_balance=F("led")):
        yield f"wallet {wallet.pk} has {wallet.locked_balance} locked, but leads with {wallet.led}"
    for wallet in wallets.exclude(locked_balance=F("held"), balance=F("free")):
        yield (
            f"wallet {wallet.pk} has {wallet.balance} and {wallet.locked_balance} locked, "
            f"but its transactions give {wallet.free} and {wallet.held}"
        )

    auctions = Auction.objects.annotate(
        bids_made=_total(Bid.objects, "auction", Count("pk")), highest=_total(Bid.objects, "auction", Max("amount"))
    )
    for auction in auctions.exclude(Q(bid_count=F("bids_made")) & Q(highest=Coalesce("price", _ZERO))):
        yield (
            f"auction {auction.pk} counts {auction.bid_count} bids up to {auction.price}, "
            f"but has {auction.bids_made} up to {auction.highest}"
        )

    bids = Bid.objects.count()
    if bids != accepted:
        yield f"{accepted} bids were accepted, but {bids} are stored"
    used = IdempotencyKey.objects.filter(bid__isnull=False).count()
    if used != (bids if keys else 0) or used != IdempotencyKey.objects.count():
        yield f"{bids} bids, but {used} keys of {IdempotencyKey.objects.count()} name one"
