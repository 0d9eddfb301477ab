-- Actions that are or were measured: what they were expected to save, and what they did.
CREATE TABLE indexpilot.verification (
    mutation uuid NOT NULL PRIMARY KEY,
    system_identifier bigint NOT NULL,
    database_oid oid NOT NULL,
    recommendation uuid,
    kind text NOT NULL,
    intent jsonb NOT NULL,
    index_oid oid NOT NULL,
    before_until timestamp with time zone NOT NULL,
    after_from timestamp with time zone NOT NULL,
    next_look timestamp with time zone NOT NULL,
    expires_at timestamp with time zone NOT NULL,
    state text NOT NULL CHECK (state OPERATOR(pg_catalog.=) ANY (ARRAY[
        'measuring', 'kept', 'reverted', 'expired', 'confirmed', 'refuted'])),
    reason text NOT NULL,
    looks integer NOT NULL,
    amcheck text NOT NULL,
    predicted_ms_per_day double precision NOT NULL,
    measured_ms_per_day double precision,
    gain double precision,
    gain_lower double precision,
    gain_upper double precision,
    used double precision
);
COMMENT ON TABLE indexpilot.verification IS 'actions that are or were measured; read it through the view verifications';
COMMENT ON COLUMN indexpilot.verification.mutation IS 'the intent in mutation_log';
COMMENT ON COLUMN indexpilot.verification.system_identifier IS 'the cluster the row was written in; rows of another one are history only';
COMMENT ON COLUMN indexpilot.verification.database_oid IS 'the database the row was written in';
COMMENT ON COLUMN indexpilot.verification.recommendation IS 'the recommendation it carried out';
COMMENT ON COLUMN indexpilot.verification.kind IS 'kind of action, for the correction of later predictions; revert for what took another back';
COMMENT ON COLUMN indexpilot.verification.intent IS 'what was done, typed';
COMMENT ON COLUMN indexpilot.verification.index_oid IS 'the index';
COMMENT ON COLUMN indexpilot.verification.before_until IS 'what was measured until then counts as before';
COMMENT ON COLUMN indexpilot.verification.after_from IS 'what was measured from then on counts as after';
COMMENT ON COLUMN indexpilot.verification.next_look IS 'when it is judged next';
COMMENT ON COLUMN indexpilot.verification.expires_at IS 'when waiting for evidence ends';
COMMENT ON COLUMN indexpilot.verification.state IS 'measuring, kept, reverted, or expired (never enough evidence); of a revert: confirmed (it brought the latency back) or refuted';
COMMENT ON COLUMN indexpilot.verification.reason IS 'the verdict in words, or what is missing';
COMMENT ON COLUMN indexpilot.verification.looks IS 'how often it was judged';
COMMENT ON COLUMN indexpilot.verification.amcheck IS 'passed, failed or unchecked, with why';
COMMENT ON COLUMN indexpilot.verification.predicted_ms_per_day IS 'statement time a day it was to save, milliseconds (estimate)';
COMMENT ON COLUMN indexpilot.verification.measured_ms_per_day IS 'statement time a day it saves (negative: costs), milliseconds, measured';
COMMENT ON COLUMN indexpilot.verification.gain IS 'share of the statements'' time saved, measured';
COMMENT ON COLUMN indexpilot.verification.gain_lower IS 'lower bound of it, 99 %';
COMMENT ON COLUMN indexpilot.verification.gain_upper IS 'upper bound of it, 99 %';
COMMENT ON COLUMN indexpilot.verification.used IS 'share of the readers'' executions with a plan known to use the index; 0 where no plan says';
REVOKE ALL ON TABLE indexpilot.verification FROM PUBLIC;
SELECT pg_catalog.pg_extension_config_dump('indexpilot.verification', '');
