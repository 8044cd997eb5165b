"""The classes for asyncio. ``_sync`` is generated from this folder by ``python -m throughline._unasync``."""
