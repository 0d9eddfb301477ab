CREATE FUNCTION indexpilot.pin(index regclass, reason text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'pin_wrapper';
COMMENT ON FUNCTION indexpilot.pin(regclass, text) IS 'keeps IndexPilot from ever dropping an index, whatever its use; false when it was pinned already. Example: SELECT indexpilot.pin(''crm.contacts_email_idx'', ''the month-end report needs it'')';
REVOKE ALL ON FUNCTION indexpilot.pin(regclass, text) FROM PUBLIC;

CREATE FUNCTION indexpilot.unpin(index regclass, reason text DEFAULT NULL) RETURNS boolean
    LANGUAGE c VOLATILE PARALLEL UNSAFE
    AS 'MODULE_PATHNAME', 'unpin_wrapper';
COMMENT ON FUNCTION indexpilot.unpin(regclass, text) IS 'takes a pin off an index; false when it had none';
REVOKE ALL ON FUNCTION indexpilot.unpin(regclass, text) FROM PUBLIC;
