-- The writer counts the records that it adds, once for each transaction, and no longer a trigger for each record. SQLite copies
-- the rows of a statement into a temporary table if a trigger follows the insert, and saves each page if a trigger can abort it.
DROP TRIGGER IF EXISTS audit_is_counted;
DROP TRIGGER IF EXISTS audit_has_no_gaps;

-- A record follows the last one in the table, or the last one that was written if that is missing. The audit log of a replica has
-- the same gaps as that of its primary.
CREATE TRIGGER audit_has_no_gaps BEFORE INSERT ON audit
WHEN NEW.number IS NOT (SELECT max(number) + 1 FROM audit)
    AND NEW.number IS NOT (SELECT audit + 1 FROM store)
    AND (NEW.number <= (SELECT audit FROM store) OR NOT (SELECT is_replica FROM store)) BEGIN
    SELECT RAISE(FAIL, 'an audit log is only ever added to');
END;
