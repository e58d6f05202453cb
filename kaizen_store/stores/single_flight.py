"""Single-flight refresh: workers that share a store send one request for the same access token.

The SDK lets every thread and process refresh an expired token separately, but Zoho issues only ten
access tokens per refresh token in ten minutes. Here, the worker that comes first takes a *lease* in
the storage, sends the request, saves the result and releases the lease. The others wait, and take
the access token from the row. The calling program does not change (rule ``single-flight``).

Part of Kaizen Store 0.2.0 (https://github.com/kaizen-store/kaizen-store), Apache-2.0.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import time
import types
import uuid
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from zohocrmsdk.src.com.zoho.api.authenticator.oauth_token import OAuthToken
from zohocrmsdk.src.com.zoho.crm.api.exception import SDKException

from . import token_row

if TYPE_CHECKING:
    from .row_store import RowStore

REQUEST_TIMEOUT_S = 10.0
"""How long a token request waits for a connection, and for each part of the answer, in seconds."""

LEASE_S = 30.0
"""How long a lease is valid, in seconds: longer than a request that times out. If a worker dies
during its request, the next one tries when the lease has expired."""

MAX_WAIT_S = 90.0
"""How long a worker waits for the others' requests, in seconds, before it raises an error."""

POLL_S = 0.02
"""How often a waiting worker looks, in seconds."""

VALID_MS = 5_000
"""The SDK refreshes an access token that expires within this time, in milliseconds."""

SOON_MS = 60_000
"""A token that expires within this time, in milliseconds, is prepared for single-flight refresh."""

METHODS = {"refresh_access_token": "refresh_token", "generate_access_token": "grant_token"}
"""The methods with which the SDK requests an access token, and the token that each one sends."""

_logger = logging.getLogger("kaizen_store")


def stays_valid(token: OAuthToken) -> bool:
    """Return whether a token has an access token that does not expire within ``SOON_MS``.

    :param token: the token, as the SDK is going to use it.
    """
    expiry = token.get_expires_in()
    if not expiry:
        return bool(token.get_access_token())
    try:
        return int(expiry) > time.time() * 1000 + SOON_MS and bool(token.get_access_token())
    except ValueError:
        return False


def share_request(store: RowStore, token: OAuthToken) -> None:
    """Make a token's next request for an access token single-flight.

    The SDK's request methods are replaced on this object only; the first call restores them.

    :param store: the store that found the token.
    :param token: the token, as the SDK is going to use it.
    """
    for method, column in METHODS.items():
        if getattr(token, f"get_{column}")():
            setattr(token, method, SharedRequest(store, token, method))


class SharedRequest:
    """Stands in for a method of one token that requests an access token.

    :param store: the store with the lease.
    :param token: the token.
    :param method: the name of the method, a key of :data:`METHODS`.
    """

    def __init__(self, store: RowStore, token: OAuthToken, method: str) -> None:
        self._store = store
        self._token = token
        self._method = method

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy of the token, and one that was pickled, has the SDK's own method.
        return getattr, (self._token, self._method)

    def __call__(self, *arguments: Any) -> OAuthToken:
        """Request an access token, or wait for the worker that does.

        :param arguments: what the SDK passes; it differs by version, and ends with the URL.
        :returns: the token, with a valid access token.
        :raises SDKException: what the request raises; or code ``TOKEN_STORE``, after
            ``MAX_WAIT_S`` seconds of waiting.
        """
        token = self._token
        for method in METHODS:
            vars(token).pop(method, None)
        own_method = with_timeout(getattr(type(token), self._method))
        request = partial(own_method, token, *arguments)
        query = token_row.row_from_token(token)
        lease = Lease(self._store, self._lease_name(query))
        try:
            if not self._used_shared_result(lease, query):
                self._request(request, query, url=str(arguments[-1]))
        finally:
            with contextlib.suppress(SDKException):  # it is logged, and the lease expires
                lease.release()
        return token

    def _lease_name(self, query: token_row.Row) -> str:
        sent = f"{query['client_id']} {query[METHODS[self._method]]}"
        return f"lease {hashlib.sha256(sent.encode(errors='replace')).hexdigest()[:32]}"

    def _used_shared_result(self, lease: Lease, query: token_row.Row) -> bool:
        """Return True if another worker's result was used, False if this worker has to request."""
        deadline_s = time.monotonic() + MAX_WAIT_S
        while True:
            try:
                acquired = lease.acquire()
            except SDKException:  # it is logged; a request without a lease is better than none
                return False
            if self._copy_stored_result(query):
                return True
            if acquired:
                return False
            if time.monotonic() > deadline_s:
                raise token_row.store_error(
                    f"gave up after {MAX_WAIT_S:g} seconds while other workers requested this "
                    f"access token (lease in {self._store.location}): find out why their requests "
                    "fail, then try again"
                )
            time.sleep(POLL_S)

    def _copy_stored_result(self, query: token_row.Row) -> bool:
        row = token_row.match_row(query, self._store.rows_with)
        if row is None or not row["access_token"]:
            return False
        if token_row.expiry_ms(row["expiry_time"]) <= time.time() * 1000 + VALID_MS:
            return False
        # The id is left alone: the SDK's own save decides which row this user has.
        self._token.set_access_token(row["access_token"])
        self._token.set_expires_in(row["expiry_time"])
        self._token.set_refresh_token(row["refresh_token"] or self._token.get_refresh_token())
        self._token.set_api_domain(row["api_domain"] or self._token.get_api_domain())
        return True

    def _request(self, request: Callable[[], Any], query: token_row.Row, url: str) -> None:
        token, id, received = self._token, self._token.get_id(), None
        try:
            request()
            received = token.get_access_token()
            # The waiting workers read the row, so it is saved before the lease is released. If the
            # save fails, it is logged, and the SDK continues with the token, as it does itself.
            with contextlib.suppress(SDKException):
                self._store.save_token(token)
        finally:
            token.set_id(id)
            column = METHODS[self._method]
            details = {
                "url": url,
                "token_kind": column.replace("_", " "),
                "sent": _fingerprint(query[column]),
                "received": _fingerprint(received),
            }
            _logger.info(
                "requested an access token at %(url)s with %(token_kind)s %(sent)s: %(received)s",
                details,
                extra={"token_request": details},
            )


class Lease:
    """The right to send one request, held in the storage by one worker at a time.

    :param store: the store that keeps the lease.
    :param name: the name of the value that holds it: its owner, and the time when it expires.
    """

    def __init__(self, store: RowStore, name: str) -> None:
        self._store = store
        self._name = name
        self._owner = f"{os.getpid()}-{uuid.uuid4().hex}"

    def acquire(self) -> bool:
        """Take the lease, if nobody has it or it has expired; return whether this worker has it.

        :raises SDKException: code ``TOKEN_STORE``, when the storage fails.
        """

        def take(rows: RowStore) -> bool:
            now_s = time.time()
            owner, _, expires_at = (rows.get_value(self._name) or "").partition(" ")
            # A time further ahead than any lease was written by a clock that has been set back.
            if owner and now_s < float(expires_at) <= now_s + LEASE_S:
                return owner == self._owner
            rows.set_value(self._name, f"{self._owner} {now_s + LEASE_S}")
            return True

        return self._store.attempt("take the lease", self._store.transaction, take)

    def release(self) -> None:
        """Give the lease back, unless it has expired and another worker has it.

        :raises SDKException: code ``TOKEN_STORE``, when the storage fails.
        """

        def give_back(rows: RowStore) -> None:
            if (rows.get_value(self._name) or "").partition(" ")[0] == self._owner:
                rows.set_value(self._name, None)

        self._store.attempt("release the lease", self._store.transaction, give_back)


def _fingerprint(secret: str | None) -> str:
    return f"#{hashlib.sha256(secret.encode()).hexdigest()[:6]}" if secret else "nothing"


def with_timeout(method: Any) -> Any:
    """Return a copy of an SDK method that sends its requests with a timeout; the SDK sets none.

    The copy uses its own ``requests`` object, so the original method is not affected.

    :param method: the function of the SDK's class; any other callable is returned as it is.
    """
    requests = getattr(method, "__globals__", {}).get("requests")
    if requests is None or not isinstance(method, types.FunctionType):
        return method
    post = partial(requests.post, timeout=REQUEST_TIMEOUT_S)
    scope = method.__globals__ | {"requests": types.SimpleNamespace(post=post)}
    return types.FunctionType(
        method.__code__, scope, method.__name__, method.__defaults__, method.__closure__
    )
