"""Removal of passwords and tokens from text that is shown or stored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"

# A password may contain @, / and :, so it extends to the last @ before a space, quote or bracket.
_ACCOUNT = re.compile(r"(?<![\w+.-])([A-Za-z][\w+.-]*)://(?!/)([^\s'\"<>]*)@")
_SETTING = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:passw|pwd|passphrase|token|secret|api_?key|access_?key|signature|sig"
    r"(?==)|credential|odbc_connect)[\w.-]*)=)[^&;\s'\"<>]+"
)
# Environment variables of MLflow that contain an address, and those that are secrets themselves.
_ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_BACKEND_STORE_URI")
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST = 4
"""Shortest secret that is replaced in running text; a shorter one would match parts of words."""


def masked(text: str, *addresses: str | None) -> str:
    """Replace passwords and tokens in a text by `HIDDEN`.

    Args:
        text: Any text, such as an address, a sentence or a traceback.
        addresses: Addresses in use. Their passwords are replaced everywhere in the text, also
            outside of addresses. The addresses in MLflow's environment variables are always
            included.

    Returns:
        The text without secrets.
    """
    known = [*addresses, *map(os.environ.get, _ADDRESSES)]
    secrets = {secret for address in known if address for secret in _secrets(address)}
    secrets |= {value for name in _SECRETS if (value := os.environ.get(name))}
    for secret in sorted(secrets, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, HIDDEN)
    return _SETTING.sub(rf"\g<1>{HIDDEN}", _ACCOUNT.sub(_without_password, text))


def _without_password(found: re.Match[str]) -> str:
    scheme, account = found.groups()
    user, colon, _ = account.partition(":")
    if colon:
        return f"{scheme}://{user}:{HIDDEN}@"
    # A user name without a password in a web address is usually a token.
    return f"{scheme}://{HIDDEN if scheme.lower().startswith('http') else user}@"


def _secrets(address: str) -> Iterator[str]:
    """Yield the password of an address as it is written, decoded, and encoded by libraries."""
    _, _, rest = address.partition("://")
    account, at, _ = rest.rpartition("@")
    if not at or account.startswith("/"):
        return
    user, colon, password = account.partition(":")
    secret = password if colon else user if address.lower().startswith("http") else ""
    if secret:
        bare = unquote(secret)
        yield from (secret, bare, quote(bare, safe=""), quote_plus(bare))
