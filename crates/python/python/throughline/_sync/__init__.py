"""The classes for blocking callers, generated from ``_async``."""
