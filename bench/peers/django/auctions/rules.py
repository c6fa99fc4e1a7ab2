"""The rules of plain English bidding."""

from datetime import datetime
from typing import NamedTuple

OPEN, SOLD, UNSOLD = 1, 2, 3


class BidRefused(Exception):
    """The bid breaks a rule. Nothing was written."""


class Standing(NamedTuple):
    """An auction's row as far as a bid needs it: the fields are columns."""

    status: int
    ends_at: datetime
    seller_id: int
    leader_id: int | None
    start_price: int
    increment: int
    price: int | None
    bid_count: int


def judge(auction: Standing, bidder_id: int, amount: int | None, now: datetime) -> tuple[int, int]:
    """The amount of the bid, by default the lowest that is accepted, and how much more money to hold for it."""
    if auction.status != OPEN or now >= auction.ends_at:
        raise BidRefused("the auction is not open")
    if bidder_id == auction.seller_id:
        raise BidRefused("the seller does not bid")
    price = auction.price
    lowest = auction.start_price if price is None else price + auction.increment
    if amount is None:
        amount = lowest
    elif amount < lowest:
        raise BidRefused(f"the lowest bid is {lowest}")
    # Who leads has the price held already.
    return amount, amount - price if bidder_id == auction.leader_id else amount


def must_cover(balance: int, hold: int) -> None:
    if balance < hold:
        raise BidRefused("the balance does not cover the bid")
