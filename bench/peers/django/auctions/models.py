"""The tables. Money is counted in minor units.

`PositiveBigIntegerField` brings a `CHECK (… >= 0)` along: no wallet can go into debt.

The append-only tables name other rows without a foreign key constraint, as auction-ledger's own tables do: the rows
they name are locked, and so they exist. Their indexes serve the history of an auction and of a wallet, and the replay
of a key.
"""

from django.db import models

from . import rules


class Wallet(models.Model):
    user = models.CharField(max_length=64, unique=True)
    balance = models.PositiveBigIntegerField(default=0)
    locked_balance = models.PositiveBigIntegerField(default=0)


class Auction(models.Model):
    class Status(models.IntegerChoices):
        OPEN = rules.OPEN
        SOLD = rules.SOLD
        UNSOLD = rules.UNSOLD

    title = models.CharField(max_length=200)
    seller = models.ForeignKey(Wallet, models.PROTECT, related_name="+", db_index=False)
    leader = models.ForeignKey(
        Wallet, models.PROTECT, related_name="leads", null=True, db_index=False, db_constraint=False
    )
    start_price = models.PositiveBigIntegerField()
    increment = models.PositiveBigIntegerField()
    price = models.PositiveBigIntegerField(null=True)
    bid_count = models.PositiveIntegerField(default=0)
    status = models.SmallIntegerField(choices=Status, default=Status.OPEN)
    ends_at = models.DateTimeField()


class IdempotencyKey(models.Model):
    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    key = models.CharField(max_length=200)
    created_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint("wallet", "key", name="one_answer_per_key")]


class Bid(models.Model):
    auction = models.ForeignKey(Auction, models.PROTECT, related_name="bids", db_constraint=False)
    bidder = models.ForeignKey(Wallet, models.PROTECT, related_name="+", db_index=False, db_constraint=False)
    key = models.OneToOneField(IdempotencyKey, models.PROTECT, related_name="bid", null=True, db_constraint=False)
    amount = models.PositiveBigIntegerField()
    created_at = models.DateTimeField()


class Transaction(models.Model):
    class Kind(models.IntegerChoices):
        DEPOSIT = 1
        HOLD = 2  # balance -> locked_balance
        RELEASE = 3  # locked_balance -> balance

    wallet = models.ForeignKey(Wallet, models.PROTECT, related_name="transactions", db_constraint=False)
    auction = models.ForeignKey(
        Auction, models.PROTECT, related_name="+", null=True, db_index=False, db_constraint=False
    )
    kind = models.SmallIntegerField(choices=Kind)
    amount = models.PositiveBigIntegerField()
    created_at = models.DateTimeField()
