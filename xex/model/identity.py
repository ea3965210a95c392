"""Which asset a currency code means, and how many units of it one unit of the code holds.

Venues spell assets in their own ways: XBT is BTC, and a contract named 1000PEPE, SHIB1000, 1MBABYDOGE or kPEPE counts
a thousand or a million coins as one. One code may also be different coins on different venues. Rules read the
multipliers; everything else is a line of `aliases.csv`, each with its reason:

- `venue` and `kind` say where a line holds (`*`: everywhere); the most particular line wins, the venue before the kind.
- `asset` is what is traded and `multiplier` how many units of it one unit of `code` holds.
- A code whose name only looks like a multiplier gets a line that leaves it as it is.

A code with a dot (ETH2.S, XBT.M, USD.HOLD: staked, bonded or held balances; XBT.d: the dark pool) is an asset of its
own and never the plain one, whatever the line of its first part says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from xex.errors import Dropped

SPOT = "spot"
_LETTERS = {"1K": 1_000, "1M": 1_000_000}
# Zeros count from three on, or 1INCH would be one INCH; 1K and 1M need three more letters, or 1MT would be a million T.
_PREFIX = re.compile(r"(?P<n>10{3,9}|1[KM](?=\w{3}))(?P<asset>[^\W\d_]\w*)")
_SUFFIX = re.compile(r"(?P<asset>[^\W\d_]{2,})(?P<n>10{3,6})")
# Only a small k before capitals is a thousand: KAVA and KSM are coins, and some venues write all codes small.
_KILO = re.compile(r"k(?P<asset>[A-Z][A-Z0-9]+)")


@dataclass(frozen=True, slots=True)
class Alias:
    """One line of the table."""

    venue: str
    kind: str
    code: str
    asset: str
    multiplier: int
    reason: str


def asset(code: str, kind: str, venue: str = "") -> tuple[str, int]:
    """Return the asset that a currency code means and how many units of it the code's unit holds.

    `code` is as the venue writes it, in its own case; `kind` is "spot", "linear" or "inverse"; without `venue` the
    code is one that a person types. A spot market trades the token itself, however it is called: multipliers are read
    from names of derivatives alone. A code that no rule and no line knows is the asset itself.

    >>> asset("XBT", "spot"), asset("1000PEPE", "linear"), asset("kPEPE", "linear"), asset("1000SATS", "spot")
    (('BTC', 1), ('PEPE', 1000), ('PEPE', 1000), ('1000SATS', 1))
    >>> asset("GTC", "spot", "htx"), asset("1INCH", "linear"), asset("XBT.M", "spot", "kraken")
    (('GAMECOM', 1), ('1INCH', 1), ('BTC.M', 1))
    """
    upper, names = code.upper(), _names(venue, kind)
    known = names.get(upper)
    if known is not None:
        return known
    plain, dot, suffix = upper.partition(".")
    if dot:
        return f"{names.get(plain, (plain, 1))[0]}.{suffix}", 1
    if kind == SPOT:
        return upper, 1
    name, multiplier = _unmultiplied(code, upper)
    inner, more = names.get(name, (name, 1))
    return inner, multiplier * more


def _unmultiplied(code: str, upper: str) -> tuple[str, int]:
    kilo = _KILO.fullmatch(code)
    if kilo:
        return kilo["asset"], 1_000
    found = _PREFIX.fullmatch(upper) or _SUFFIX.fullmatch(upper)
    if not found:
        return upper, 1
    return found["asset"], _LETTERS.get(found["n"]) or int(found["n"])


def alias(code: str, kind: str, venue: str = "") -> Alias | None:
    """Return the line of the table that decides a code, None where none does."""
    fitting = [line for line in aliases() if line.code == code.upper() and _holds(line, kind, venue)]
    return max(fitting, key=_particular, default=None)


@cache
def aliases() -> tuple[Alias, ...]:
    """Return every line of the table, read once."""
    import csv
    from importlib import resources

    text = (resources.files("xex.model") / "aliases.csv").read_text(encoding="utf-8")
    return tuple(
        Alias(line["venue"], line["kind"], line["code"], line["asset"], int(line["multiplier"]), line["reason"])
        for line in csv.DictReader(text.splitlines())
    )


@cache
def _names(venue: str, kind: str) -> dict[str, tuple[str, int]]:
    """Return what the lines that hold for a venue and kind say, by code."""
    fitting = [line for line in aliases() if _holds(line, kind, venue)]
    return {line.code: (line.asset, line.multiplier) for line in sorted(fitting, key=_particular)}


def _holds(line: Alias, kind: str, venue: str) -> bool:
    return line.venue in {"*", venue} and line.kind in {"*", kind}


def _particular(line: Alias) -> tuple[bool, bool]:
    return line.venue != "*", line.kind != "*"


# --- addresses -----------------------------------------------------------------------------------------------

# How venues call the same network, without case and separators; any other name stands for itself.
_NETWORKS = {
    "ethereum": ("erc20", "eth", "ethereumerc20"),
    "bsc": ("bep20", "bnbsmartchain", "bnbsmartchainbep20"),
    "tron": ("trc20", "trx", "trontrc20"),
    "solana": ("sol", "spl"),
    "arbitrum": ("arb", "arbi", "arbone", "arbitrumone", "arc20"),
    "optimism": ("op", "opmainnet", "opterc20"),
    "polygon": ("matic", "polygonpos", "prc20"),
    "avalanche": ("avaxc", "avaxcchain", "cavax", "avalanchecchain", "cchainerc20"),
    "base": ("basemainnet", "baseerc20"),
    "aptos": ("apt", "aptcoinstore"),
    "zksyncera": ("zkv2",),
    "zksynclite": ("zksync",),
    "kaia": ("klay",),
    "ton": ("theopennetwork", "theopennetworkton", "tvm"),
    "near": ("nearprotocol", "nep141"),
    "bitcoin": ("btc",),
    "litecoin": ("ltc",),
    "dogecoin": ("doge",),
    "cardano": ("ada",),
    "xrpledger": ("xrp", "ripple"),
    "stellar": ("xlm",),
    "algorand": ("algo",),
    "hedera": ("hbar",),
    "berachain": ("bera",),
    **dict.fromkeys(
        ("sui", "celo", "linea", "plasma", "sonic", "scroll", "starknet", "lightning", "opbnb", "unichain", "xlayer"),
        (),
    ),
}
_NETWORK = {name: network for network, names in _NETWORKS.items() for name in (network, *names)}
_HEX = re.compile(r"(?:0[xX])?(?P<digits>[0-9a-fA-F]{40,64})")
_SHORT_HEX = re.compile(r"0[xX](?P<digits>[0-9a-fA-F]{1,63})")
# What stands where a network's own coin has no contract.
_NATIVE = frozenset({"0x0", "0x" + "e" * 40})
# The last six digits of an address: too few to tell two contracts apart.
_TAIL = re.compile(r"[0-9a-fA-F]{6}")


def network_of(name: str) -> str:
    """Return the one name of a network, however a venue writes it; a name that is not known stands for itself.

    >>> network_of("ERC20"), network_of("TRX"), network_of("BNB Smart Chain (BEP20)"), network_of("X Layer")
    ('ethereum', 'tron', 'bsc', 'xlayer')
    """
    key = "".join(filter(str.isalnum, name)).lower()
    return _NETWORK.get(key, key)


def is_known_network(name: str) -> bool:
    """Say whether a network's one name is known: one that is not may be another spelling of one that is."""
    return name in _NETWORKS


def contract_of(text: str) -> str:
    """Return a contract's address in one spelling, empty for what names none.

    >>> contract_of("0x00AB" + 36 * "c"), contract_of("0x" + 40 * "E"), contract_of(" ")
    ('0xabcccccccccccccccccccccccccccccccccccc', '', '')
    """
    return _address(text)


Addresses = Mapping[str, str | Sequence[str | None] | None]
"""Contract addresses by network as one venue names them; None or an empty text where it names none."""


def same_address(first: Addresses, second: Addresses) -> Literal["same", "different", "unknown"]:
    """Compare the contracts behind a code on two venues.

    "same" where any network has an address in common. "different" where networks are shared, their addresses
    differ, and both venues name a contract for every network they list: a coin of a network's own is wrapped by
    different issuers elsewhere, so that its wrappers prove nothing. Else "unknown".

    >>> same_address({"ERC20": "0xdAC17F95"+32*"0"}, {"ETH": "dac17f95"+32*"0"})
    'same'
    >>> same_address({"ERC20": 40*"1"}, {"ERC20": 40*"2"}), same_address({"BTC": None}, {"BTC": ""})
    ('different', 'unknown')
    """
    ours, theirs = _contracts(first), _contracts(second)
    shared = ours.keys() & theirs.keys()
    if any(ours[network] & theirs[network] for network in shared):
        return "same"
    named = all(ours.values()) and all(theirs.values())
    return "different" if named and shared else "unknown"


def strangers(given: Mapping[str, Addresses]) -> dict[str, tuple[Dropped, str]]:
    """Tell by contracts who trades another asset than the others: a reason and a network where they differ, by name.

    `given` holds each venue's addresses. Only venues that are the same as, or different from, some other one have a
    vote. Where more than half of them are the same, who differs from those is `suspect`; where no such majority is,
    all that differ from one another are `disagree`.

    >>> strangers({"a": {"ERC20": 40*"1"}, "b": {"ERC20": 40*"1"}, "c": {"ETH": 40*"2"}, "d": {}})
    {'c': (<Dropped.SUSPECT: 'suspect'>, 'ethereum')}
    """
    said = {(one, other): same_address(given[one], given[other]) for one in given for other in given if one != other}
    judged = {one for (one, _), verdict in said.items() if verdict != "unknown"}
    alike = {one: 1 + sum(said.get((one, other)) == "same" for other in judged) for one in judged}
    majority = {one for one, count in alike.items() if 2 * count > len(judged)}
    found: dict[str, tuple[Dropped, str]] = {}
    for (one, other), verdict in said.items():
        if verdict == "different" and one not in majority and (other in majority or not majority):
            reason = Dropped.SUSPECT if majority else Dropped.DISAGREE
            found.setdefault(one, (reason, _network_apart(given[one], given[other])))
    return found


def _network_apart(first: Addresses, second: Addresses) -> str:
    """Return the first network that both name; the addresses of "different" ones differ on all of them."""
    theirs = _contracts(second)
    return next(network for network in _contracts(first) if network in theirs)


def _contracts(given: Addresses) -> dict[str, set[str]]:
    """Return the addresses by network, normalised; an empty set where a network has none."""
    found: dict[str, set[str]] = {}
    for name, value in given.items():
        texts = [value] if isinstance(value, str) or value is None else value
        found.setdefault(network_of(name), set()).update(filter(None, map(_address, texts)))
    return found


def _address(text: str | None) -> str:
    """Return an address in one spelling, empty for none: hexadecimal ones without case and leading zeros."""
    clean = (text or "").strip()
    if _TAIL.fullmatch(clean):
        return ""
    head, colons, rest = clean.partition("::")  # 0x…::usdc::USDC names a type in the package at the address
    found = _HEX.fullmatch(head) or _SHORT_HEX.fullmatch(head)
    if found:
        head = "0x" + (found["digits"].lstrip("0").lower() or "0")
    return "" if head in _NATIVE else head + colons + rest
