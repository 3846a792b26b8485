"""Certificates of services that are not trusted."""

from __future__ import annotations

import ssl


def distrust(error: BaseException | None) -> str | None:
    """Why a certificate is not trusted, if that is the cause of an error of a client library; else None."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error.verify_message
        # urllib3 passes the cause on as an argument.
        wrapped = (arg for arg in reversed(error.args) if isinstance(arg, BaseException))
        error = next(wrapped, None) or error.__cause__ or error.__context__
    return None
