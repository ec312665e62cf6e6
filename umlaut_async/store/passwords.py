"""The URLs of servers without what is secret in them."""

from __future__ import annotations

import re

__all__ = ["digest", "without_password"]


def without_password(url: str) -> str:
    """Return a URL as it may be shown.

    All of it may be wrong: what is between the first ':' and the last '@' is hidden, since either may be in a name or
    in a password, and so is a port that is no number, for who forgets the host writes the password there. Options may
    be secrets too, so they are left out.
    """
    scheme, slashes, rest = url.partition("://")
    before, at, after = rest.rpartition("@")
    user, colon, _ = before.partition(":")
    shown = re.sub(r"^([^\[:/?]*):(?!\d*(?:[/?]|$)).*", r"\1:***", after, flags=re.DOTALL).partition("?")[0]
    return f"{scheme}{slashes}{user}{colon and ':***'}{at}{shown}"


def digest(url: str) -> str:
    """Return what tells a URL from another one, and does not tell the URL."""
    # Here, as this takes milliseconds to import, and most runs are in files.
    import hashlib

    return hashlib.sha256(url.encode(errors="surrogatepass")).hexdigest()
