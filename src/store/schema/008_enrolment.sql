-- SPDX-License-Identifier: Apache-2.0
-- The end of a device's stewardship, who reported it stolen or broken, why the card was asked to
-- block or destroy a key, and renewals whose old certificate is still published.

-- 0: it stands. A removed device keeps its row: its ICCID's payload sequences never restart, and
-- its keys are known for ever.
ALTER TABLE device ADD COLUMN removed BIGINT NOT NULL DEFAULT 0;

CREATE TABLE device_flag (
	device BIGINT NOT NULL REFERENCES device (id),
	flag TEXT NOT NULL,
	who TEXT NOT NULL,
	since BIGINT NOT NULL,
	reason TEXT NOT NULL,
	PRIMARY KEY (device, flag)
);

ALTER TABLE job ADD COLUMN cause TEXT NOT NULL DEFAULT '';

-- One at most of a profile: the certificate before its present one.
CREATE TABLE overlap (
	profile BIGINT PRIMARY KEY REFERENCES profile (id),
	cert BIGINT NOT NULL REFERENCES certificate (id),
	ends BIGINT NOT NULL
);
CREATE INDEX overlap_ends ON overlap (ends);
CREATE INDEX job_profile ON job (profile, kind, id);
