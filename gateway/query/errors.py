"""What the query doors raise besides the language's own errors. gateway/errors.py alone turns these into statuses."""

from __future__ import annotations


class BadParameter(Exception):  # noqa: N818 - named for what happened
    """A parameter cannot be used; the text is Loki's and is the answer's whole body (400)."""


class LogQueryNotInstant(BadParameter):
    """A log query came to the endpoint of instant queries (400)."""

    def __init__(self) -> None:
        super().__init__(
            "log queries are not supported as an instant query type, please change your query to a range query type"
        )


class BodyTooLarge(Exception):  # noqa: N818 - named for what happened
    """A POSTed form is over the limit (413)."""

    def __init__(self) -> None:
        super().__init__("http: request body too large")


class QueryTimeout(Exception):  # noqa: N818 - named for what happened
    """The query's time is over (504); the text is Loki's."""

    def __init__(self) -> None:
        super().__init__(
            "request timed out, decrease the duration of the request or add more label matchers "
            "(prefer exact match over regex match) to reduce the amount of data processed"
        )


class QueryCancelled(Exception):  # noqa: N818 - named for what happened
    """The client went away (499, which nobody reads: it is for the log and the metrics)."""

    def __init__(self) -> None:
        super().__init__("the request was cancelled by the client")


class TooManyQueries(Exception):  # noqa: N818 - named for what happened
    """More queries wait than the queue holds (429)."""

    def __init__(self) -> None:
        super().__init__("too many outstanding requests")
