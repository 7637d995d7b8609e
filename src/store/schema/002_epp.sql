-- SPDX-License-Identifier: Apache-2.0
-- What EPP adds: counted logins, who and what made a change that is told by poll, transfers that the
-- losing side answers, and the commands that were answered as pending.

ALTER TABLE party ADD COLUMN login_failed BIGINT NOT NULL DEFAULT 0;
ALTER TABLE party ADD COLUMN login_last BIGINT NOT NULL DEFAULT 0;

ALTER TABLE poll ADD COLUMN who TEXT NOT NULL DEFAULT '';
ALTER TABLE poll ADD COLUMN trid TEXT NOT NULL DEFAULT '';
ALTER TABLE poll ADD COLUMN ended_cl_trid TEXT NOT NULL DEFAULT '';
ALTER TABLE poll ADD COLUMN ended_sv_trid TEXT NOT NULL DEFAULT '';

ALTER TABLE publish_wait ADD COLUMN cl_trid TEXT NOT NULL DEFAULT '';
ALTER TABLE publish_wait ADD COLUMN sv_trid TEXT NOT NULL DEFAULT '';

-- The last transfer of each profile; status as EPP's trStatus.
CREATE TABLE transfer (
	profile BIGINT PRIMARY KEY REFERENCES profile (id),
	status TEXT NOT NULL,
	requester TEXT NOT NULL,
	service TEXT NOT NULL,
	requested BIGINT NOT NULL,
	actor TEXT NOT NULL,
	act_date BIGINT NOT NULL
);
CREATE INDEX transfer_due ON transfer (act_date) WHERE status = 'pending';

-- An activation that waits for the card: whose command it was.
CREATE TABLE pending_action (
	profile BIGINT PRIMARY KEY REFERENCES profile (id),
	cl_trid TEXT NOT NULL,
	sv_trid TEXT NOT NULL
);
