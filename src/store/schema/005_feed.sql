-- SPDX-License-Identifier: Apache-2.0
-- What concerns each provider's names. Positions count 1, 2, 3 ... per party without a gap; the mark
-- tells two histories apart (a restored backup). The newest row of a party is never removed.

CREATE TABLE feed (
	party TEXT NOT NULL,
	position BIGINT NOT NULL,
	mark BLOB NOT NULL,
	seq BIGINT NOT NULL,
	date BIGINT NOT NULL,
	kind INTEGER NOT NULL,
	name TEXT NOT NULL,
	owner_name TEXT NOT NULL,
	service TEXT NOT NULL,
	cert_sha256 BLOB,
	PRIMARY KEY (party, position)
);
CREATE INDEX feed_date ON feed (date);

-- Parties that want the same as poll messages.
CREATE TABLE feed_poll (
	party TEXT PRIMARY KEY REFERENCES party (id)
);
