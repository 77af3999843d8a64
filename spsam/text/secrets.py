"""Passwords and tokens of addresses, taken out of whatever is shown or stored."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import quote, quote_plus, unquote

HIDDEN = "***"

# A password may hold @, / and : itself: it goes to the last @ before a space, a quote or a bracket.
_ACCOUNT = re.compile(r"(?<![\w+.-])([A-Za-z][\w+.-]*)://(?!/)([^\s'\"<>]*)@")
_SETTING = re.compile(
    r"(?i)([?&;](?:[\w.-]*(?:passw|pwd|passphrase|token|secret|api_?key|access_?key|signature|sig"
    r"(?==)|credential|odbc_connect)[\w.-]*)=)[^&;\s'\"<>]+"
)
# Settings of MLflow's that hold an address or are secret themselves.
_ADDRESSES = ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLFLOW_BACKEND_STORE_URI")
_SECRETS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
_SHORTEST = 4
"""A shorter secret is not looked for in running text: it would be found in words."""


def masked(text: str, *addresses: str | None) -> str:
    """The text without passwords and tokens.

    Args:
        text: Anything: an address, a sentence, a traceback.
        addresses: Addresses that are in use; their passwords are taken out wherever they stand,
            also beside an address. Those of MLflow's environment variables always are.
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
    # A name alone before a web server is as a rule a token.
    return f"{scheme}://{HIDDEN if scheme.lower().startswith('http') else user}@"


def _secrets(address: str) -> Iterator[str]:
    """The password of an address, as it stands there and as libraries write it."""
    _, _, rest = address.partition("://")
    account, at, _ = rest.rpartition("@")
    if not at or account.startswith("/"):
        return
    user, colon, password = account.partition(":")
    secret = password if colon else user if address.lower().startswith("http") else ""
    if secret:
        bare = unquote(secret)
        yield from (secret, bare, quote(bare, safe=""), quote_plus(bare))
