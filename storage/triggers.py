"""Code that lives in the database: triggers, as migrations made them. No others are trusted in a copy of a database.

A text here is never changed: a migration that needs another one adds it, and copies of before stay known.
"""

from __future__ import annotations

LEAVE = "DELETE FROM turns WHERE tier = OLD.tier AND start_us = OLD.start_us AND account_id = OLD.account_id"
JOIN = "INSERT INTO turns (tier, start_us, account_id) SELECT NEW.tier, NEW.start_us, NEW.account_id"
MOVED = "OLD.eligible <> NEW.eligible OR NEW.eligible AND OLD.start_us <> NEW.start_us"
BODY = f"IF OLD.eligible THEN {LEAVE}; END IF; IF NEW.eligible THEN {JOIN}; END IF; RETURN NULL;"
"""OLD is NULL in an INSERT, NEW in a DELETE. A flow's account and tier never change."""
TURNS = {
    "sqlite": (
        f"CREATE TRIGGER flows_joined AFTER INSERT ON flows BEGIN {JOIN} WHERE NEW.eligible; END",
        f"CREATE TRIGGER flows_moved AFTER UPDATE ON flows WHEN {MOVED} BEGIN {LEAVE}; {JOIN} WHERE NEW.eligible; END",
        f"CREATE TRIGGER flows_left AFTER DELETE ON flows BEGIN {LEAVE}; END",
    ),
    "postgresql": (
        f"CREATE OR REPLACE FUNCTION keep_turns() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {BODY} END $$",
        "CREATE TRIGGER flows_joined AFTER INSERT ON flows FOR EACH ROW EXECUTE FUNCTION keep_turns()",
        f"CREATE TRIGGER flows_moved AFTER UPDATE ON flows FOR EACH ROW WHEN ({MOVED}) EXECUTE FUNCTION keep_turns()",
        "CREATE TRIGGER flows_left AFTER DELETE ON flows FOR EACH ROW EXECUTE FUNCTION keep_turns()",
    ),
}
"""They keep `turns`, as an index is kept: whatever changes a flow, and in the same statement."""
KNOWN = frozenset(TURNS["sqlite"])
"""All that a SQLite file may hold."""
