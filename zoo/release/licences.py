"""Identifiers of licences that a card on the Hub may state."""

from __future__ import annotations

from zoo.core.errors import UsageError, closest

#: Identifiers of the Hub (huggingface.co/docs/hub/repositories-licenses), mostly those of SPDX in lower case.
_IDENTIFIERS = """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0 bigcode-openrail-m
    afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5
    cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0 cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0
    cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0
    cdla-permissive-2.0 wtfpl ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0
    lgpl lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0 odc-by odbl
    openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr deepfloyd-if-license
    fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3 llama4 gemma grok2-community
"""
LICENCES = tuple(_IDENTIFIERS.split())

#: What stands for a licence that has no identifier, and for one that nobody knows.
OTHER, UNKNOWN = "other", "unknown"

#: What `--license` accepts, for a help text.
HELP = (
    "identifier of the weights' licence, such as apache-2.0 or cc-by-4.0; "
    "'other': a licence without an identifier, which the card has to name"
)


def check_licence(text: str, *, unknown: bool = False) -> str:
    """Returns an identifier in lower case.

    Args:
        text: An identifier of `LICENCES`, in any case, or "other".
        unknown: Whether "unknown" is accepted as well: such weights load, and are never published.

    Raises:
        UsageError: It is none; names the closest identifiers.

    Example:
        >>> check_licence("Apache-2.0"), check_licence("unknown", unknown=True)
        ('apache-2.0', 'unknown')
        >>> check_licence("apache2")
        Traceback (most recent call last):
        zoo.core.errors.UsageError: licence 'apache2' is no identifier; did you mean 'apache-2.0'? Or 'other'...
    """
    known = (*LICENCES, OTHER, *((UNKNOWN,) if unknown else ()))
    found = text.strip().lower()
    if found in known:
        return found
    close = " or ".join(map(repr, closest(found, LICENCES)))
    hint = f"; did you mean {close}?" if close else ": expected one such as 'apache-2.0' or 'cc-by-4.0'."
    last = " or 'unknown' (loads, is never published)" if unknown else ""
    raise UsageError(f"licence {text[:80]!r} is no identifier{hint} Or 'other' (one without an identifier){last}")
