"""Every way the store can refuse. The docstring is the default message."""


class StoreError(Exception):
    """The store refused."""

    def __init__(self, message: str | None = None):
        super().__init__(message or type(self).__doc__)


class NameTaken(StoreError):
    """Another concept of this scope has that name."""


class NoConsent(StoreError):
    """The person in the photos hasn't agreed, or has taken it back."""


class NotFound(StoreError):
    """There is no such concept."""


class LeaseLost(StoreError):
    """Another worker has taken over this training, or the concept was deleted."""


class TooManyConcepts(StoreError):
    """This owner or server has as many concepts as it may have."""


class TooManyPhotos(StoreError):
    """This concept has as many photos as it may have."""


class WrongFingerprint(StoreError):
    """These vectors belong to another encoder or model."""


class StoreClosed(StoreError):
    """The store isn't open."""


class StoreUnavailable(StoreError):
    """The store can't be read or written just now."""


class StoreUnusable(StoreError):
    """The store can't be opened."""
