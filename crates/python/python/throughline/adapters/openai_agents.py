"""Sessions of the OpenAI Agents SDK in a Throughline store.

::

    async with throughline.open("chat.db") as store:
        session = ThroughlineSession("user-42", store)
        result = await Runner.run(agent, "Where to?", session=session)

| of the SDK | here |
|---|---|
| a session | the thread with the id of the session, in the tenant of the store |
| an item | a message: see :mod:`throughline.adapters.openai_messages` |
| a branch of a session | a thread that was forked from the thread of another branch: see :class:`BranchingSession` |

``add_items`` writes all items in one transaction, and ``pop_item`` reads and deletes the last one in one transaction. A task that is
cancelled in a write waits for its outcome first, as the sessions of the SDK do.
"""

from .openai_branches import BranchingSession
from .openai_session import ThroughlineSession

__all__ = ["BranchingSession", "ThroughlineSession"]
