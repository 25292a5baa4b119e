"""Tests that the engine keeps its promises, whatever is killed, stopped or cut.

``test_killing_proof.py`` runs executions in workers that are processes, between which and
PostgreSQL a proxy stands. At each message they are killed, or stopped until another worker has
taken over, or lose their connection. ``test_transitions_proof.py`` lets Hypothesis choose what
happens to three workers, statement by statement. An HTTP server or a list counts the effects, and
triggers in the database of the test write down every transition (``history``), which are checked at
the end against what docs/execution.md promises.

``make test`` runs short forms, and ``make prove`` the long ones.
"""
