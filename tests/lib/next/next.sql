-- SPDX-License-Identifier: Apache-2.0
-- What a later version might bring: read and written by nobody but it.
ALTER TABLE device ADD COLUMN later BIGINT NOT NULL DEFAULT 0;
ALTER TABLE profile ADD COLUMN later TEXT NOT NULL DEFAULT '';
CREATE TABLE later (
	profile BIGINT PRIMARY KEY REFERENCES profile (id),
	body BLOB NOT NULL
);
CREATE INDEX device_later ON device (later) WHERE later > 0;
